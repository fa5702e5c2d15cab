// Reads JSON (RFC 8259). Unlike JSON.parse it finds names given twice, bounds the depth and knows every member's place.
// Strings and scalars are left to JSON.parse.
import { PositionedBuilder, type PositionedDocument } from "./positioned-builder.ts";

/** Throws PolicyRefused when the text is not JSON. */
export function readJson(text: string): PositionedDocument {
  return new JsonReader(text).document();
}

class JsonReader {
  readonly #text: string;
  readonly #builder: PositionedBuilder;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
    this.#builder = new PositionedBuilder(text);
  }

  document(): PositionedDocument {
    this.#builder.value = this.#value();
    if (this.#peek() !== "") this.#unexpected();
    return this.#builder;
  }

  #value(): unknown {
    const next = this.#peek();
    if (next === "{") return this.#object();
    if (next === "[") return this.#array();
    return next === '"' ? this.#string() : this.#scalar();
  }

  #object(): unknown {
    const object = {};
    this.#list("}", () => {
      const start = this.#at;
      if (this.#peek() !== '"') this.#unexpected();
      const name = this.#string();
      this.#expect(":");
      this.#builder.member(object, name, start, () => this.#value());
    });
    return object;
  }

  #array(): unknown {
    const array: unknown[] = [];
    this.#list("]", () => {
      this.#builder.member(array, array.length, this.#at, () => this.#value());
    });
    return array;
  }

  /** Reads from the opening bracket to the closing one. */
  #list(close: string, readMember: () => void): void {
    this.#at += 1;
    if (this.#peek() === close) {
      this.#at += 1;
      return;
    }
    for (;;) {
      this.#peek();
      readMember();
      const next = this.#peek();
      if (next !== close && next !== ",") this.#unexpected();
      this.#at += 1;
      if (next === close) return;
    }
  }

  #string(): string {
    let end = this.#at + 1;
    while (end < this.#text.length && this.#text[end] !== '"') end += this.#text[end] === "\\" ? 2 : 1;
    return this.#parsed(end + 1) as string;
  }

  #scalar(): unknown {
    const run = /[^\s,:\]}[{"]+/y;
    run.lastIndex = this.#at;
    if (!run.test(this.#text)) this.#unexpected();
    return this.#parsed(run.lastIndex);
  }

  #parsed(end: number): unknown {
    try {
      const value: unknown = JSON.parse(this.#text.slice(this.#at, end));
      this.#at = end;
      return value;
    } catch {
      return this.#unexpected();
    }
  }

  #expect(character: string): void {
    if (this.#peek() !== character) this.#unexpected();
    this.#at += 1;
  }

  /** Skips white space; "" at the end of the text. */
  #peek(): string {
    while (" \t\n\r".includes(this.#text[this.#at] ?? "x")) this.#at += 1;
    return this.#text[this.#at] ?? "";
  }

  #unexpected(): never {
    // The message quotes nothing of the text, which may hold a secret by mistake.
    const what = this.#at >= this.#text.length ? "the text ends too early" : "unexpected character";
    return this.#builder.fail(`is not JSON: ${what}`, this.#at);
  }
}
