// Fields whose values are structured (RFC 9651), and how those are written strictly, which is what `sf` and `key` sign
// (RFC 9421 sections 2.1.1 and 2.1.2).
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

/** Those that requests may have of IANA's registry. */
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

/** @param own of the policy, by name in any case: they count before what is registered */
export function structuredFields(own: Readonly<Record<string, StructuredType>> = {}): StructuredFields {
  const named = Object.entries(own).map(([name, type]) => [name.toLowerCase(), type] as const);
  return new Map([...Object.entries(registered), ...named]);
}

/** @throws Error when it is not of that type */
export function strictValue(text: string, type: StructuredType): string {
  if (type === "item") return serializeItem(parseItem(text));
  return type === "list" ? serializeList(parseList(text)) : serializeDictionary(parseDictionary(text));
}

/** @returns undefined when the dictionary lacks it. @throws Error when it is none */
export function strictMember(text: string, key: string): string | undefined {
  const member = parseDictionary(text).get(key);
  if (member === undefined) return undefined;
  return Array.isArray(member[0]) ? serializeInnerList(member as InnerList) : serializeItem(member as Item);
}
