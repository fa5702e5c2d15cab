// Collects bytes that wait in parts, and merges small parts. A small part takes far more memory than its bytes: a
// client that sends them one by one must not get more memory than was counted.
const maxParts = 64;
/** Parts that together have this many bytes, or more, are not merged. */
const maxBytes = 64 * 1024;

/**
 * @param loose how many parts at the end are not merged yet
 * @returns the new value of `loose`
 */
export function addPart(parts: Buffer[], part: Buffer, loose: number): number {
  parts.push(part);
  if (loose + 1 < maxParts) return loose + 1;
  const last = parts.slice(-maxParts);
  if (last.reduce((sum, { length }) => sum + length, 0) < maxBytes)
    parts.splice(-maxParts, maxParts, Buffer.concat(last));
  return 0;
}

export class Parts {
  #all: Buffer[] = [];
  #loose = 0;

  add(part: Buffer): void {
    this.#loose = addPart(this.#all, part, this.#loose);
  }

  /** Returns all parts and keeps none. */
  take(): readonly Buffer[] {
    const all = this.#all;
    this.#all = [];
    this.#loose = 0;
    return all;
  }
}
