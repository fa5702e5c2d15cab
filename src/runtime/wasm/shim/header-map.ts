// A map of fields as guests see it: names in lower case, several lines of one name allowed, pseudo-fields first.

export class HeaderMap {
  readonly #pseudo: readonly string[];
  #text: string | undefined;
  #names: string[] = [];
  #values: string[] = [];

  /**
   * @param pseudo names of the pseudo-fields, whose values come first
   * @param text values of the pseudo-fields, then name, value, …; a zero between any two
   */
  constructor(pseudo: readonly string[], text: string) {
    this.#pseudo = pseudo;
    this.#text = text;
  }

  get length(): number {
    this.#parse();
    return this.#names.length;
  }

  /** The value; several lines are joined as RFC 9110 section 5.3 says. @returns undefined = there is none */
  get(name: string): string | undefined {
    this.#parse();
    const names = this.#names;
    const first = names.indexOf(name);
    if (first === -1) return undefined;
    const value = this.#values[first] as string;
    if (name === "set-cookie" || names.indexOf(name, first + 1) === -1) return value;
    return this.#values.filter((_, index) => names[index] === name).join(name === "cookie" ? "; " : ", ");
  }

  add(name: string, value: string): void {
    this.#parse();
    this.#names.push(name);
    this.#values.push(value);
  }

  replace(name: string, value: string): void {
    this.#parse();
    const first = this.#names.indexOf(name);
    if (first === -1) {
      this.add(name, value);
      return;
    }
    this.#values[first] = value;
    this.#keep((each, index) => index <= first || each !== name);
  }

  remove(name: string): void {
    this.#parse();
    this.#keep((each) => each !== name);
  }

  /** @param flat name, value, … */
  setAll(flat: readonly string[]): void {
    this.#text = undefined;
    this.#names = flat.filter((_, index) => index % 2 === 0);
    this.#values = flat.filter((_, index) => index % 2 === 1);
  }

  /** name, value, … */
  flat(): string[] {
    this.#parse();
    return this.#names.flatMap((name, index) => [name, this.#values[index] as string]);
  }

  #keep(keeps: (name: string, index: number) => boolean): void {
    const names = this.#names;
    this.#values = this.#values.filter((_, index) => keeps(names[index] as string, index));
    this.#names = names.filter(keeps);
  }

  // Not before somebody asks: many guests look at no field of a response.
  #parse(): void {
    const text = this.#text;
    if (text === undefined) return;
    this.#text = undefined;
    const pseudo = this.#pseudo;
    const parts = text === "" ? [] : text.split("\0");
    for (let i = 0; i < pseudo.length && i < parts.length; i += 1) {
      this.#names.push(pseudo[i] as string);
      this.#values.push(parts[i] as string);
    }
    for (let i = pseudo.length; i + 1 < parts.length; i += 2) {
      this.#names.push(parts[i] as string);
      this.#values.push(parts[i + 1] as string);
    }
  }
}
