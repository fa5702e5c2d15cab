// JSON Pointer (RFC 6901).

const maxTokens = 32;

/** @returns the reference tokens; undefined when it is none, or points at the whole */
export function tokensOf(pointer: string): readonly string[] | undefined {
  if (!/^(?:\/(?:[^/~]|~[01])*)+$/u.test(pointer)) return undefined;
  const tokens = pointer.slice(1).split("/");
  if (tokens.length > maxTokens) return undefined;
  // Section 4: in this order, so that ~01 is ~1.
  return tokens.map((token) => token.replaceAll("~1", "/").replaceAll("~0", "~"));
}

/** Members by which a service in JavaScript that copies them changes what all its objects have. */
const polluting = new Set(["__proto__", "constructor", "prototype"]);

export const isPolluting = (name: string): boolean => polluting.has(name);

/** @returns whether JSON has such a member at any depth */
export function pollutes(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  return Object.entries(value).some(([name, member]) => isPolluting(name) || pollutes(member));
}
