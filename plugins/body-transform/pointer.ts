// Parses JSON Pointers (RFC 6901), and finds member names that are dangerous in JavaScript.

const maxTokens = 32;

/**
 * @returns the reference tokens; undefined for invalid text, for the whole document, and for over `maxTokens` tokens
 */
export function tokensOf(pointer: string): readonly string[] | undefined {
  if (!/^(?:\/(?:[^/~]|~[01])*)+$/u.test(pointer)) return undefined;
  const tokens = pointer.slice(1).split("/");
  if (tokens.length > maxTokens) return undefined;
  // Section 4 requires this order: ~01 must become ~1.
  return tokens.map((token) => token.replaceAll("~1", "/").replaceAll("~0", "~"));
}

/** A service in JavaScript that copies these members changes the prototype of its objects. */
const polluting = new Set(["__proto__", "constructor", "prototype"]);

export const isPolluting = (name: string): boolean => polluting.has(name);

/** @returns whether the value has such a member at any depth */
export function pollutes(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  return Object.entries(value).some(([name, member]) => isPolluting(name) || pollutes(member));
}
