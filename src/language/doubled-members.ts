// Finds out whether JSON names a member twice. Parsers differ in which of the two they take (RFC 8259 section 4), so
// one text can mean one thing to the checker and another to the user of the value.

import { endOfString } from "./json.ts";

const colon = 0x3a;

/** Counts the members named in valid JSON text, at every depth. Each has one colon outside strings. */
function membersNamed(json: string): number {
  let colons = 0;
  for (let at = 0; ;) {
    const opening = json.indexOf('"', at);
    const end = opening === -1 ? json.length : opening;
    for (; at < end; at += 1) if (json.charCodeAt(at) === colon) colons += 1;
    if (opening === -1) return colons;
    at = endOfString(json, opening) + 1;
  }
}

/** Counts the members of a parsed value, at every depth. It recurses: the depth was bounded when the value was read. */
export function membersKept(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  let count = 0;
  if (Array.isArray(value)) {
    for (const item of value) if (typeof item === "object") count += membersKept(item);
    return count;
  }
  for (const name in value) {
    count += 1;
    const member = (value as Record<string, unknown>)[name];
    if (typeof member === "object") count += membersKept(member);
  }
  return count;
}

/** @param value the parsed `json`, whose depth was bounded during parsing */
export function hasDoubledMember(json: string, value: unknown): boolean {
  return membersNamed(json) !== membersKept(value);
}
