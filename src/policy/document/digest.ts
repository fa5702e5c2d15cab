// Computes what identifies a policy: the SHA-256 of its canonical JSON. White space and the order of names do not
// count.
import { hash } from "node:crypto";

/**
 * @returns JSON without white space, the names of every object sorted by code units (as in RFC 8785 section 3.2.3).
 * Recurses, so the reader of a document has to bound its depth.
 */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member)}`);
  return `{${members.join(",")}}`;
}

/** @returns SHA-256 in hex */
export function digestOf(data: string | Uint8Array): string {
  return hash("sha256", data, "hex");
}
