// Keeps a map of fields as guests see it: names in lower case, several lines per name allowed, pseudo-fields first.
// Most guests read few fields and set fewer. So single fields are searched in the host's text, which is split only when
// a guest asks for all.

export class HeaderMap {
  readonly #pseudo: readonly string[];
  readonly #text: string;
  /** Values of changed names, while the text is not split yet. */
  #changed: Map<string, readonly string[]> | undefined = undefined;
  /** name, value, … once the text is split. */
  #flat: string[] | undefined = undefined;
  #added = 0;

  /**
   * @param pseudo names of the pseudo-fields, whose values come first
   * @param text values of the pseudo-fields, separated by \0; then for each field \x01, name, \0, value
   */
  constructor(pseudo: readonly string[], text: string) {
    this.#pseudo = pseudo;
    this.#text = text;
  }

  get length(): number {
    return this.flat().length / 2;
  }

  /** How many fields were added since the map was made. */
  get added(): number {
    return this.#added;
  }

  /** @returns the value; several lines are joined as in RFC 9110 section 5.3; undefined = there is none */
  get(name: string): string | undefined {
    const isAsWritten = this.#flat === undefined && this.#changed?.has(name) !== true;
    // The most frequent case: one line, unchanged in the host's text.
    const sought = `\x01${name}\0`;
    const at = isAsWritten ? this.#text.indexOf(sought) : -1;
    if (at !== -1 && this.#text.indexOf(sought, at + 1) === -1) return this.#valueAt(at + sought.length);
    const values = this.#values(name);
    if (values.length < 2 || name === "set-cookie") return values[0];
    return values.join(name === "cookie" ? "; " : ", ");
  }

  add(name: string, value: string): void {
    this.#added += 1;
    if (this.#flat !== undefined) this.#flat.push(name, value);
    else this.#change(name, [...this.#values(name), value]);
  }

  replace(name: string, value: string): void {
    if (this.#flat === undefined) this.#change(name, [value]);
    else this.#flat = this.#withValues(this.#flat, name, [value]);
  }

  remove(name: string): void {
    if (this.#flat === undefined) this.#change(name, []);
    else this.#flat = this.#withValues(this.#flat, name, []);
  }

  /** @param flat name, value, … */
  setAll(flat: readonly string[]): void {
    this.#changed = undefined;
    this.#flat = [...flat];
  }

  /** @returns name, value, … */
  flat(): readonly string[] {
    if (this.#flat !== undefined) return this.#flat;
    const [pseudo = "", ...fields] = this.#text.split("\x01");
    const values = pseudo === "" ? [] : pseudo.split("\0");
    let flat = values.flatMap((value, index) => [this.#pseudo[index] as string, value]);
    for (const field of fields) {
      const zero = field.indexOf("\0");
      flat.push(field.slice(0, zero), field.slice(zero + 1));
    }
    for (const [name, changed] of this.#changed ?? []) flat = this.#withValues(flat, name, changed);
    this.#flat = flat;
    return flat;
  }

  #change(name: string, values: readonly string[]): void {
    this.#changed ??= new Map();
    this.#changed.set(name, values);
  }

  #values(name: string): readonly string[] {
    const flat = this.#flat;
    if (flat !== undefined) return flat.filter((_, index) => index % 2 === 1 && flat[index - 1] === name);
    const changed = this.#changed?.get(name);
    if (changed !== undefined) return changed;
    return name.startsWith(":") ? this.#pseudoValue(name) : this.#written(name);
  }

  #pseudoValue(name: string): readonly string[] {
    const at = this.#pseudo.indexOf(name);
    const one = this.#text.indexOf("\x01");
    const values = one === -1 ? this.#text : this.#text.slice(0, one);
    if (at === -1 || values === "") return this.#written(name);
    let from = 0;
    for (let i = 0; i < at; i += 1) from = values.indexOf("\0", from) + 1;
    const zero = values.indexOf("\0", from);
    return [values.slice(from, zero === -1 ? values.length : zero)];
  }

  #written(name: string): readonly string[] {
    const text = this.#text;
    const sought = `\x01${name}\0`;
    const values: string[] = [];
    for (let at = text.indexOf(sought); at !== -1; at = text.indexOf(sought, at + 1)) {
      values.push(this.#valueAt(at + sought.length));
    }
    return values;
  }

  #valueAt(from: number): string {
    const one = this.#text.indexOf("\x01", from);
    return this.#text.slice(from, one === -1 ? this.#text.length : one);
  }

  /** Puts all values where the first line of that name was; the other lines of that name are removed. */
  #withValues(flat: readonly string[], name: string, values: readonly string[]): string[] {
    const kept: string[] = [];
    let isPlaced = false;
    for (let i = 0; i < flat.length; i += 2) {
      if (flat[i] !== name) kept.push(flat[i] as string, flat[i + 1] as string);
      else if (!isPlaced) {
        isPlaced = true;
        for (const value of values) kept.push(name, value);
      }
    }
    if (!isPlaced) for (const value of values) kept.push(name, value);
    return kept;
  }
}
