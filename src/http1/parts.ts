// Bytes that wait in parts. Each part takes far more memory than its bytes, where they are few: whoever sends them one by one
// must not have more than was counted.
const maxParts = 64;
/** Parts of as many bytes together, or more, are let be. */
const maxBytes = 64 * 1024;

/**
 * @param loose how many at the end were not put together yet
 * @returns how many are not now
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

  /** All of them; none is left. */
  take(): readonly Buffer[] {
    const all = this.#all;
    this.#all = [];
    this.#loose = 0;
    return all;
  }
}
