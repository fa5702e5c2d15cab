// Whether JSON names a member twice. Parsers differ in which of the two they take (RFC 8259 section 4), so that a text is
// one thing to whoever checks it and another to whoever uses it.

import { endOfString } from "./json.ts";

const colon = 0x3a;

/** Members named in valid JSON text, at every depth: each is one colon outside a string. */
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

/** Members of a parsed value, at every depth. Recurses: depth was bounded when the value was read. */
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

/** @param value what `json` was parsed to, whose depth was bounded then */
export function hasDoubledMember(json: string, value: unknown): boolean {
  return membersNamed(json) !== membersKept(value);
}
