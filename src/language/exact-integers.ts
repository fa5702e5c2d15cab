// Keeps integers that a double cannot hold. JSON.parse rounds them (RFC 8259 section 6): two ids of tenants, as a 64-bit
// sequence numbers them, would become one, and what is for the one would be for the other.

declare global {
  // TC39's proposal-json-parse-with-source, in V8 since 11.4; TypeScript 7.0 has no types for it.
  interface JSON {
    parse(
      text: string,
      reviver: (name: string, value: unknown, context: { readonly source?: string }) => unknown,
    ): unknown;
  }
}

/** Without so many digits in a row no integer is beyond 2^53: few texts have them. */
const manyDigits = /\d{15}/;

/** Points in time and lengths of it may be rounded: no caller is told from another by them. */
const times = new Set(["exp", "iat", "nbf", "auth_time", "updated_at", "expires_in", "expiresAt"]);

/** Whether no other integer is rounded to this number. */
export function isExact(value: number): boolean {
  return !Number.isInteger(value) || Number.isSafeInteger(value);
}

/**
 * @param value the parsed `json`, whose depth was bounded during parsing
 * @returns the value with every integer beyond 2^53 as text, as it was written. Not as `JSON.rawJSON`, which would be
 *   written again as a number: nothing can clone it or put it into a text, and whoever parses JSON rounds it again
 */
export function withExactIntegers(json: string, value: unknown): unknown {
  if (!manyDigits.test(json)) return value;
  return JSON.parse(json, (name, member, { source }) =>
    typeof member !== "number" || isExact(member) || times.has(name) ? member : source,
  );
}

/** Whether every number in a value is exact, at every depth: the depth was bounded when the value was read. */
export function hasExactNumbers(value: unknown): boolean {
  if (typeof value === "number") return isExact(value);
  return typeof value !== "object" || value === null || Object.values(value).every(hasExactNumbers);
}
