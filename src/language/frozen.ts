// Plain data that many share, and nobody changes for the others.

/**
 * Freezes objects and arrays, and those within them, in place. What is of a class (sets, regular expressions) stays as it
 * is: freezing would not protect it.
 * @returns the same value
 */
export function frozen<T>(data: T): T {
  const open: unknown[] = [data];
  while (open.length > 0) {
    const value = open.pop();
    if (!isPlain(value) || Object.isFrozen(value)) continue;
    for (const member of Object.values(value)) if (typeof member === "object") open.push(member);
    Object.freeze(value);
  }
  return data;
}

function isPlain(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === Array.prototype || prototype === null;
}
