// Reads a JSON body so that only one reading is possible: the service's parser reads the same as was checked.
import { membersKept } from "../../src/language/doubled-members.ts";
import { endOfString } from "../../src/language/json.ts";

/** What is wrong with a body. The client is told, so it never contains a value from the body. */
export interface Flaw {
  /** JSON Pointer (RFC 6901); "" = the whole body. */
  readonly pointer: string;
  readonly message: string;
}

export type Read = { readonly value: unknown } | Flaw;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const quote = 0x22;
const colon = 0x3a;

const flaw = (message: string, pointer = ""): Flaw => ({ pointer, message });
const notJson = flaw("is not JSON (RFC 8259)");

/** @returns the value, or what is wrong with the text */
export function readJson(body: Buffer, maxDepth: number): Read {
  let text: string;
  let value: unknown;
  let named: number;
  try {
    text = utf8.decode(body);
    named = membersNamed(text, maxDepth);
    if (named === -1) return flaw(`is nested deeper than ${maxDepth} levels`);
    value = JSON.parse(text);
  } catch {
    return notJson;
  }
  // RFC 8259 section 4: parsers differ in which of two members with the same name they use.
  if (membersKept(value) !== named) return flaw("names a member twice");
  // These names can only be present if the text contains them, or an escape.
  if (!/__proto__|constructor|\\u/.test(text)) return { value };
  return pollution(value, "") ?? { value };
}

/**
 * Counts the member names in valid JSON text: each has one colon outside a string. Arbitrary for other text.
 * @returns -1 = nested too deep
 */
function membersNamed(text: string, maxDepth: number): number {
  let depth = 0;
  let members = 0;
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    if (unit === quote) at = endOfString(text, at);
    else if (unit === colon) members += 1;
    // "[" and "{", "]" and "}" differ in one bit.
    else if ((unit | 0x20) === 0x7b) {
      depth += 1;
      if (depth > maxDepth) return -1;
    } else if ((unit | 0x20) === 0x7d) depth -= 1;
  }
  return members;
}

/** Finds members that would change an object's prototype if JavaScript copied them. Recurses: depth is bounded. */
function pollution(value: unknown, pointer: string): Flaw | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i += 1) {
      const found = typeof value[i] === "object" ? pollution(value[i], `${pointer}/${i}`) : undefined;
      if (found !== undefined) return found;
    }
    return undefined;
  }
  for (const name of Object.keys(value)) {
    const member = (value as Record<string, unknown>)[name];
    const isPrototype = name === "constructor" && typeof member === "object" && member !== null;
    if (name === "__proto__" || (isPrototype && Object.hasOwn(member, "prototype")))
      return flaw("is a name that is not taken", below(pointer, name));
    const found = typeof member === "object" ? pollution(member, below(pointer, name)) : undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}

const maxPointerLength = 256;

/** @returns the pointer to a member, cut to `maxPointerLength` because the client chooses the names */
export function below(pointer: string, name: string): string {
  return `${pointer}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`.slice(0, maxPointerLength);
}
