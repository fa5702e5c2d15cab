// Marks keys whose last answer could not be stored (hit-for-miss): for a while no request waits for their next answer
// or asks Redis for it. Only hashes are kept; another key with the same hash is not coalesced either, which is safe.

const lifeMs = 10_000;
const maxMarks = 8_192;

export class HitForMiss {
  readonly #hashes = new Int32Array(maxMarks);
  /** Until when each mark holds, monotonic ms. */
  readonly #until = new Float64Array(maxMarks);

  /** @param hash `hashText` of a flight's key */
  has(hash: number, nowMono: number): boolean {
    const place = hash & (maxMarks - 1);
    return this.#hashes[place] === hash && nowMono < (this.#until[place] as number);
  }

  /** Marks a key. Replaces an older mark in the same place. */
  add(hash: number, nowMono: number): void {
    const place = hash & (maxMarks - 1);
    this.#hashes[place] = hash;
    this.#until[place] = nowMono + lifeMs;
  }

  delete(hash: number): void {
    const place = hash & (maxMarks - 1);
    if (this.#hashes[place] === hash) this.#until[place] = 0;
  }
}
