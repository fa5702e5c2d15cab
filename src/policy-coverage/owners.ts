// Whose a path is where templates overlap: `/users/me` is the operation of that name's, and none of `/users/{id}`
// (OpenAPI 3: what is concrete is matched before what is templated).
import { isOf, openness, type Operation } from "./operation.ts";

export class Owners {
  readonly #operations: Map<string, readonly Operation[]>;
  /** Fewest open segments of a template that takes a path. */
  readonly #fewest = new Map<string, number>();

  constructor(operations: readonly Operation[]) {
    this.#operations = Map.groupBy(operations, ({ method }) => method);
  }

  /** @param prefix what clients write before both @param template without it */
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
