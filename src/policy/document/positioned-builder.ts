// Builds a document while it is read from text: the value, the place of each member, and the flaws that no schema can
// find (names given twice, names that reach a prototype, too much depth).
import { deepestNesting } from "../../language/json.ts";
import { maxProblems, type Path, type Problem, PolicyRefused, pathText, quoted } from "./problems.ts";

type Key = string | number;
type Container = Record<Key, unknown>;

/** A document read from text. */
export interface PositionedDocument {
  readonly value: unknown;
  readonly problems: readonly Problem[];
  /** Where the member at this path stands, or the nearest one around it. */
  locate(path: Path): Pick<Problem, "line" | "column">;
}

const forbidden = new Set(["__proto__", "constructor", "prototype"]);

export class PositionedBuilder implements PositionedDocument {
  value: unknown;
  readonly problems: Problem[] = [];
  readonly #text: string;
  readonly #offsets = new WeakMap<object, Map<Key, number>>();
  readonly #path: Key[] = [];

  constructor(text: string) {
    this.#text = text;
  }

  /** Reads one member into its container, unless its name is refused. */
  member(container: object, key: Key, offset: number, read: () => unknown): void {
    if (this.#path.length === deepestNesting)
      this.fail(`nested deeper than ${deepestNesting} levels`, offset);
    this.#path.push(key);
    const offsets = this.#offsets.get(container) ?? new Map<Key, number>();
    this.#offsets.set(container, offsets);
    if (typeof key === "string" && forbidden.has(key))
      this.addIssue(`the name ${quoted(key)} is not allowed`, offset);
    // JSON.parse keeps the last one, other readers the first: the enforced value could differ from the reviewed one.
    else if (offsets.has(key)) this.addIssue("given twice", offset);
    const value = read();
    this.#path.pop();
    if (typeof key === "string" && forbidden.has(key)) return;
    offsets.set(key, offset);
    (container as Container)[key] = value;
  }

  /** Notes a problem at the member being read. */
  addIssue(message: string, offset: number): void {
    this.problems.push({ path: pathText(this.#path), message, ...this.#position(offset) });
    if (this.problems.length > maxProblems) throw new PolicyRefused(this.problems);
  }

  /** Stops the reading: the rest of the text could not be understood. */
  fail(message: string, offset: number): never {
    this.addIssue(message, offset);
    throw new PolicyRefused(this.problems);
  }

  locate(path: Path): Pick<Problem, "line" | "column"> {
    let at: unknown = this.value;
    let offset: number | undefined;
    for (const key of path) {
      if (typeof at !== "object" || at === null || typeof key === "symbol") break;
      const found = this.#offsets.get(at)?.get(key);
      if (found === undefined) break;
      offset = found;
      at = (at as Container)[key];
    }
    return offset === undefined ? {} : this.#position(offset);
  }

  #position(offset: number): { line: number; column: number } {
    const before = this.#text.slice(0, offset);
    const start = before.lastIndexOf("\n") + 1;
    let line = 1;
    for (let at = before.indexOf("\n"); at !== -1; at = before.indexOf("\n", at + 1)) line += 1;
    return { line, column: offset - start + 1 };
  }
}
