// Holds the header fields of one message, in the order they came (RFC 9110 section 5). Names keep their spelling on the
// wire and are looked up in lower case with `-` for `_`. Lines of the same name are merged only when the combined value
// is asked for.

import { fieldKey } from "../language/field-name.ts";
import { knownName } from "./field-names.ts";

export type FieldChange = "set" | "added" | "removed";

/** Hears of each change, with the name in lower case. */
export interface FieldWatcher {
  fieldChanged(change: FieldChange, lowerName: string): void;
}

/** Whether to leave out a line. @param underscored whether its name was written with `_` */
export type DropsField = (lowerName: string, underscored: boolean) => boolean;

/** A line that is the same for many messages: made once, by `fieldLine`. */
export interface FieldLine {
  readonly name: string;
  readonly value: string;
  readonly lower: string;
}

export function fieldLine(name: string, value: string): FieldLine {
  return { name, value, lower: knownName(name).lower };
}

/**
 * Tells the spelling by the first letter: a capital means as on the wire (`Content-Type`), else the name is in lookup
 * form.
 */
function isAsOnTheWire(name: string): boolean {
  const first = name.charCodeAt(0);
  return first >= 65 && first <= 90;
}

/**
 * An ordered, mutable list of header fields. A `lowerName` is in lower case with `-` for `_`, as `fieldKey` makes it. A
 * name that begins with a capital letter is converted here. Any other spelling finds nothing.
 */
export class Fields {
  /** name, value, name, value … as `node:http` gives and takes them. */
  readonly #flat: string[];
  readonly #lower: string[];
  /** Absent = changes are not watched. */
  watcher: FieldWatcher | undefined = undefined;
  /** Names of the lines that the constructor left out. */
  dropped: string[] | undefined = undefined;

  /**
   * @param flat name, value, name, value …; copied, so later changes to the list have no effect here
   * @param drops lines for which it returns true are left out
   */
  constructor(flat: readonly string[] = [], drops?: DropsField) {
    this.#flat = [];
    this.#lower = [];
    for (let i = 0; i < flat.length; i += 2) {
      const { name, lower, underscored } = knownName(flat[i] as string);
      if (drops?.(lower, underscored) === true) {
        (this.dropped ??= []).push(lower);
        continue;
      }
      this.#flat.push(name, flat[i + 1] as string);
      this.#lower.push(lower);
    }
  }

  get size(): number {
    return this.#lower.length;
  }

  has(lowerName: string): boolean {
    if (isAsOnTheWire(lowerName)) return this.has(fieldKey(lowerName));
    return this.#lower.includes(lowerName);
  }

  /**
   * The field's value. Several lines of one name are joined as RFC 9110 section 5.3 says ("; " for Cookie, RFC 9113
   * 8.2.3).
   */
  get(lowerName: string): string | undefined {
    const first = this.#lower.indexOf(lowerName);
    if (first === -1) return isAsOnTheWire(lowerName) ? this.get(fieldKey(lowerName)) : undefined;
    const value = this.#flat[first * 2 + 1] as string;
    if (this.#lower.indexOf(lowerName, first + 1) === -1) return value;
    return this.getAll(lowerName).join(lowerName === "cookie" ? "; " : ", ");
  }

  /** The values of all lines of the name, in order. */
  getAll(lowerName: string): string[] {
    if (isAsOnTheWire(lowerName)) return this.getAll(fieldKey(lowerName));
    const values: string[] = [];
    for (let i = 0; i < this.#lower.length; i += 1) {
      if (this.#lower[i] === lowerName) values.push(this.#flat[i * 2 + 1] as string);
    }
    return values;
  }

  /** Replaces all lines of that name by one, in the place of the first; appends it when there is none. */
  set(name: string, value: string): void {
    const { lower } = knownName(name);
    this.watcher?.fieldChanged("set", lower);
    const first = this.#lower.indexOf(lower);
    if (first === -1) {
      this.#flat.push(name, value);
      this.#lower.push(lower);
      return;
    }
    this.#flat[first * 2] = name;
    this.#flat[first * 2 + 1] = value;
    for (let i = this.#lower.length - 1; i > first; i -= 1) {
      if (this.#lower[i] === lower) this.#removeAt(i);
    }
  }

  /** Appends one more line, whether or not the name is there already. */
  append(name: string, value: string): void {
    const { lower } = knownName(name);
    this.watcher?.fieldChanged("added", lower);
    this.#flat.push(name, value);
    this.#lower.push(lower);
  }

  /** Appends those of the lines whose names are not there yet. */
  appendMissing(lines: readonly FieldLine[]): void {
    for (const { name, value, lower } of lines) {
      if (this.#lower.includes(lower)) continue;
      this.watcher?.fieldChanged("added", lower);
      this.#flat.push(name, value);
      this.#lower.push(lower);
    }
  }

  delete(lowerName: string): void {
    if (isAsOnTheWire(lowerName)) return this.delete(fieldKey(lowerName));
    for (let i = this.#lower.length - 1; i >= 0; i -= 1) {
      if (this.#lower[i] !== lowerName) continue;
      this.watcher?.fieldChanged("removed", lowerName);
      this.#removeAt(i);
    }
  }

  /** Deletes each line for whose lower-case name `matches` returns true. */
  deleteWhere(matches: (lowerName: string) => boolean): void {
    for (let i = this.#lower.length - 1; i >= 0; i -= 1) {
      const name = this.#lower[i] as string;
      if (!matches(name)) continue;
      this.watcher?.fieldChanged("removed", name);
      this.#removeAt(i);
    }
  }

  /** Calls back for each line in order. */
  forEach(visit: (lowerName: string, value: string, name: string) => void): void {
    for (let i = 0; i < this.#lower.length; i += 1) {
      visit(this.#lower[i] as string, this.#flat[i * 2 + 1] as string, this.#flat[i * 2] as string);
    }
  }

  /** The live flat list, to hand to `node:http`; callers must not change it. */
  toFlat(): string[] {
    return this.#flat;
  }

  copy(): Fields {
    return new Fields(this.#flat);
  }

  // A loop, because `splice` allocates an array for what it removes.
  #removeAt(index: number): void {
    const flat = this.#flat;
    const lower = this.#lower;
    for (let i = index + 1; i < lower.length; i += 1) {
      lower[i - 1] = lower[i] as string;
      flat[i * 2 - 2] = flat[i * 2] as string;
      flat[i * 2 - 1] = flat[i * 2 + 1] as string;
    }
    lower.pop();
    // Not by `length`, whose setter is a call out of compiled code.
    flat.pop();
    flat.pop();
  }
}
