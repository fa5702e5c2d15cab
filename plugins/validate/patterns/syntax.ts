// Parses a schema's regular expressions into parts that can run in linear time: characters, sequences, choices,
// repetitions, assertions. Back-references and look-around are refused: they cannot run in linear time.

/** One code point. */
export interface CharacterTest {
  readonly kind: "character";
  /** As written in the pattern: `a`, `\d`, `[^x-z]`. */
  readonly source: string;
}
export type Syntax =
  | CharacterTest
  | { readonly kind: "sequence"; readonly items: readonly Syntax[] }
  | { readonly kind: "choice"; readonly items: readonly Syntax[] }
  | { readonly kind: "repeat"; readonly item: Syntax; readonly min: number; readonly max: number }
  | { readonly kind: "assertion"; readonly which: "^" | "$" | "b" | "B" };

/** Thrown for a pattern that is refused; the message says why. */
export class BadPattern extends Error {
  override readonly name = "BadPattern";
}

const maxLength = 2_000;

/** @throws BadPattern for text that is no regular expression, or has parts that need more than linear time */
export function parsePattern(pattern: string): Syntax {
  if (pattern.length > maxLength) throw new BadPattern(`a pattern is longer than ${maxLength} characters`);
  let source: string;
  try {
    // V8 has checked the syntax: the parser below can rely on it.
    ({ source } = new RegExp(pattern, "u"));
  } catch {
    throw new BadPattern(`${JSON.stringify(pattern)} is no regular expression (ECMA-262, with the flag u)`);
  }
  return new Parser(pattern === "" ? "" : source).choice();
}

class Parser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  choice(): Syntax {
    const items = [this.#sequence()];
    while (this.#text[this.#at] === "|") {
      this.#at += 1;
      items.push(this.#sequence());
    }
    return items.length === 1 ? (items[0] as Syntax) : { kind: "choice", items };
  }

  #sequence(): Syntax {
    const items: Syntax[] = [];
    while (this.#at < this.#text.length && !"|)".includes(this.#text[this.#at] as string))
      items.push(this.#quantified());
    return { kind: "sequence", items };
  }

  #quantified(): Syntax {
    const item = this.#atom();
    const [written, symbol, least, more, most] =
      /^(?:([*+?])|\{(\d+)(?:(,)(\d+)?)?\})\??/.exec(this.#text.slice(this.#at, this.#at + 64)) ?? [];
    if (written === undefined) return item;
    this.#at += written.length;
    if (symbol !== undefined)
      return { kind: "repeat", item, min: symbol === "+" ? 1 : 0, max: symbol === "?" ? 1 : Infinity };
    const min = Number(least);
    if (more === undefined) return { kind: "repeat", item, min, max: min };
    return { kind: "repeat", item, min, max: most === undefined ? Infinity : Number(most) };
  }

  #atom(): Syntax {
    const rest = this.#text.slice(this.#at);
    const first = rest[0];
    if (first === "^" || first === "$") {
      this.#at += 1;
      return { kind: "assertion", which: first };
    }
    if (first === "(") return this.#group(rest);
    if (first === "[") return this.#character((/^\[(?:\\[^]|[^\]\\])*\]/.exec(rest) as RegExpExecArray)[0]);
    if (first === "\\") return this.#escape(rest);
    return this.#character(String.fromCodePoint(rest.codePointAt(0) as number));
  }

  #group(rest: string): Syntax {
    const [opening] = /^\((?:\?:|\?<[^=!>][^>]*>)?/.exec(rest) as RegExpExecArray;
    if (opening === "(" && rest[1] === "?")
      throw new BadPattern(
        `${JSON.stringify(this.#text)} has a look-around or modifiers, which are not taken`,
      );
    this.#at += opening.length;
    const inner = this.choice();
    this.#at += 1;
    return inner;
  }

  #escape(rest: string): Syntax {
    const letter = rest[1] as string;
    if (letter === "b" || letter === "B") {
      this.#at += 2;
      return { kind: "assertion", which: letter };
    }
    if (/[1-9k]/.test(letter))
      throw new BadPattern(`${JSON.stringify(this.#text)} has a back-reference, which is not taken`);
    const pair = /^\\u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}/;
    const escape = /^\\(?:[pPu]\{[^}]*\}|u[\da-fA-F]{4}|x[\da-fA-F]{2}|c[A-Za-z]|[^])/u;
    return this.#character((pair.exec(rest) ?? escape.exec(rest) ?? [""])[0]);
  }

  #character(source: string): Syntax {
    this.#at += source.length;
    return { kind: "character", source };
  }
}
