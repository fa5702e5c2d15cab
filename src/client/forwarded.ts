// Parses the Forwarded field (RFC 7239 section 4) strictly: a quoted comma or semicolon is text. The client controls
// the left part of the value, and could make a lenient parser miss where the proxy's own element begins.
import { tokenCharacter } from "../language/field-name.ts";

export interface ForwardedElement {
  readonly for: string | undefined;
  readonly proto: string | undefined;
}

const blank = /[ \t]*/y;
// Unquoted values with `:`, `[` and `]` are no tokens, but they are common and unambiguous.
const pair = new RegExp(
  String.raw`(${tokenCharacter}+)=(?:((?:${tokenCharacter}|[:[\]])+)|"((?:[^"\\]|\\.)*)")`,
  "y",
);

/** @returns the elements from the left; undefined = malformed */
export function parseForwarded(value: string): ForwardedElement[] | undefined {
  const elements: ForwardedElement[] = [];
  let parameters = new Map<string, string>();
  const close = (): void => {
    if (parameters.size > 0) elements.push({ for: parameters.get("for"), proto: parameters.get("proto") });
    parameters = new Map();
  };
  let at = 0;
  // Whether a pair may begin here: not directly after another pair.
  let open = true;
  while ((at = skipped(blank, value, at)) < value.length) {
    const character = value[at];
    if (character === "," || character === ";") {
      if (character === ",") close();
      open = true;
      at += 1;
      continue;
    }
    pair.lastIndex = at;
    const found = open ? pair.exec(value) : null;
    const name = found?.[1]?.toLowerCase();
    if (found === null || name === undefined || parameters.has(name)) return undefined;
    parameters.set(name, found[2] ?? (found[3] as string).replace(/\\(.)/g, "$1"));
    open = false;
    at = pair.lastIndex;
  }
  close();
  return elements;
}

function skipped(pattern: RegExp, value: string, at: number): number {
  pattern.lastIndex = at;
  pattern.exec(value);
  return pattern.lastIndex;
}
