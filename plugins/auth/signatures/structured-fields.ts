// Writes structured fields (RFC 9651) in their strict form, which is what the parameters `sf` and `key` sign (RFC 9421
// sections 2.1.1 and 2.1.2).
import { randomBytes } from "node:crypto";
import {
  parseDictionary,
  parseItem,
  parseList,
  serializeDictionary,
  serializeInnerList,
  serializeItem,
  serializeList,
  type InnerList,
  type Item,
} from "structured-headers";

export const structuredTypes = ["dictionary", "list", "item"] as const;
export type StructuredType = (typeof structuredTypes)[number];

/** Structured fields of requests in IANA's registry. */
const registered: Readonly<Record<string, StructuredType>> = {
  "accept-signature": "dictionary",
  "available-dictionary": "item",
  "capsule-protocol": "item",
  "client-cert": "item",
  "client-cert-chain": "list",
  "content-digest": "dictionary",
  "dictionary-id": "item",
  incremental: "item",
  priority: "dictionary",
  "repr-digest": "dictionary",
  signature: "dictionary",
  "signature-input": "dictionary",
  "upload-complete": "item",
  "upload-length": "item",
  "upload-offset": "item",
  "want-content-digest": "dictionary",
  "want-repr-digest": "dictionary",
};

export type StructuredFields = ReadonlyMap<string, StructuredType>;

/** @param own types from the policy, by name in any case; they have precedence over registered ones */
export function structuredFields(own: Readonly<Record<string, StructuredType>> = {}): StructuredFields {
  const named = Object.entries(own).map(([name, type]) => [name.toLowerCase(), type] as const);
  return new Map([...Object.entries(registered), ...named]);
}

// The parser turns decimals into numbers, and 1.0 into an integer, which would be written as 1 (section 4.1.5). So a
// token replaces it meanwhile. Nobody outside can know the token's name.
const whole = `*${randomBytes(16).toString("hex")}:`;
const wholeDecimal = /-?\d{1,12}\.0{1,3}(?=[,;) \t]|$)/y;
const standIn = new RegExp(`\\${whole}(-?\\d+)`, "g");
/** Characters that may precede a value. Names of members and tokens can contain digits and points, too. */
const beforeValues = "=,( \t";

/** @returns the index after the string that begins at `opening`. In display strings a backslash escapes nothing. */
function endOfString(text: string, opening: number): number {
  const isDisplay = text[opening - 1] === "%";
  for (let at = opening + 1; at < text.length; at += 1) {
    if (text[at] === '"') return at + 1;
    if (text[at] === "\\" && !isDisplay) at += 1;
  }
  return text.length;
}

function withStandIns(text: string): string {
  if (!text.includes(".0")) return text;
  let written = "";
  for (let at = 0; at < text.length;) {
    wholeDecimal.lastIndex = at;
    const mayBegin = at === 0 || beforeValues.includes(text[at - 1] as string);
    const [found] = (mayBegin ? wholeDecimal.exec(text) : null) ?? [];
    const end = found === undefined ? (text[at] === '"' ? endOfString(text, at) : at + 1) : at + found.length;
    written += found === undefined ? text.slice(at, end) : `${whole}${Number(found)}`;
    at = end;
  }
  return written;
}

const restored = (text: string): string => text.replace(standIn, "$1.0");

/** @throws Error when the field is not of that type */
export function strictValue(field: string, type: StructuredType): string {
  const text = withStandIns(field);
  if (type === "item") return restored(serializeItem(parseItem(text)));
  return restored(
    type === "list" ? serializeList(parseList(text)) : serializeDictionary(parseDictionary(text)),
  );
}

/**
 * @returns undefined when the dictionary lacks the key
 * @throws Error when the field is not a dictionary
 */
export function strictMember(field: string, key: string): string | undefined {
  const member = parseDictionary(withStandIns(field)).get(key);
  if (member === undefined) return undefined;
  return restored(
    Array.isArray(member[0]) ? serializeInnerList(member as InnerList) : serializeItem(member as Item),
  );
}
