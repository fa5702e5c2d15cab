// Decides which entries of a key set can be used. RFC 7517 section 5: an entry that is not understood, lacks a member
// or is out of range is skipped, so that one odd entry does not spoil the others.
import { isJwkExponent } from "../../../src/language/rsa-exponent.ts";
import { isJsonObject, type JsonObject } from "../tokens/token-parts.ts";

/** Members that a public key of each type must have (RFC 7518 section 6, RFC 8037 section 2). */
const required: ReadonlyMap<unknown, readonly string[]> = new Map([
  ["RSA", ["n", "e"]],
  ["EC", ["crv", "x", "y"]],
  ["OKP", ["crv", "x"]],
]);

/** Members that no published key may have. */
export const privateMembers: readonly string[] = ["d", "p", "q", "dp", "dq", "qi", "k"];

/** No issuer's rotation needs more, and a token without a key id is tried with every key. */
const maxKeys = 100;

export type PublicJwk = JsonObject & { readonly kty: string };

/** @returns why an entry cannot be used; undefined = it can */
export function entryFault(entry: unknown): string | undefined {
  if (!isJsonObject(entry)) return "not an object";
  const { kty } = entry;
  if (typeof kty !== "string") return "no kty";
  if (privateMembers.some((name) => Object.hasOwn(entry, name))) return "private or secret members";
  const members = required.get(kty);
  if (members === undefined) return `kty ${kty.slice(0, 20)}`;
  const missing = members.find((name) => typeof entry[name] !== "string");
  if (missing !== undefined) return `no ${missing}`;
  return kty === "RSA" && !isJwkExponent(entry["e"]) ? "e that makes no signatures" : undefined;
}

/** @returns the entries that can be used, and the place and fault of each other entry */
export function sortEntries(entries: readonly unknown[]): { keys: PublicJwk[]; skipped: string[] } {
  const keys: PublicJwk[] = [];
  const skipped: string[] = [];
  for (const [index, entry] of entries.entries()) {
    const fault = keys.length < maxKeys ? entryFault(entry) : `beyond ${maxKeys} keys`;
    if (fault === undefined) keys.push(entry as PublicJwk);
    else if (skipped.length < maxKeys) skipped.push(`keys.${index}: ${fault}`);
  }
  return { keys, skipped };
}
