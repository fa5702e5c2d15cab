// Assigns paths to operations where templates overlap: `/users/me` belongs to the operation of that name, not to
// `/users/{id}` (OpenAPI 3: concrete paths are matched before templated ones).
import { isOf, openness, type Operation } from "./operation.ts";

export class Owners {
  readonly #operations: Map<string, readonly Operation[]>;
  /** For each method and path: the fewest open segments of a template that matches it. */
  readonly #fewest = new Map<string, number>();

  constructor(operations: readonly Operation[]) {
    this.#operations = Map.groupBy(operations, ({ method }) => method);
  }

  /** @param prefix the prefix that clients write before the path @param template the template, without the prefix */
  isOwn(method: string, prefix: string, template: string, path: string): boolean {
    return openness(template) === this.#fewestOf(method, prefix, path);
  }

  #fewestOf(method: string, prefix: string, path: string): number {
    const key = `${method} ${prefix} ${path}`;
    let fewest = this.#fewest.get(key);
    if (fewest === undefined) {
      const takers = (this.#operations.get(method) ?? []).filter((each) => isOf(prefix + each.path, path));
      fewest = Math.min(...takers.map((each) => openness(each.path)));
      this.#fewest.set(key, fewest);
    }
    return fewest;
  }
}
