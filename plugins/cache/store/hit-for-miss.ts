// Hit-for-miss: keys whose last answer could not be stored; nobody waits for their next one, and Redis is not asked for
// it. Only the hashes are kept: of two keys with one hash, the other is not shared either for a while, and that is all.

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

  /** Takes the place of an older mark, if one is there. */
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
