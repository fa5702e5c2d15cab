// Estimates how often a key was requested lately, in a fixed amount of memory: a count-min sketch whose counts are
// halved from time to time (TinyLFU, Einziger et al. 2017). The estimate decides what a full cache admits.

const rows = 4;
const most = 15;

export class FrequencySketch {
  readonly #counts: Uint8Array;
  readonly #mask: number;
  readonly #maxMarks = new Int32Array(rows);
  #additions = 0;

  /** @param width counters per row, a power of two; below four per cached entry, counts of other keys mix in */
  constructor(width: number) {
    this.#counts = new Uint8Array(width * rows);
    this.#mask = width - 1;
  }

  /** Counts one request. @param hash from `hashText` */
  add(hash: number): void {
    const least = this.estimate(hash);
    this.#additions += 1;
    // Only the lowest counters rise: the others already include requests for other keys.
    if (least < most) {
      for (const place of this.#maxMarks) if (this.#counts[place] === least) this.#counts[place] = least + 1;
    }
    // Halves the counts after about ten requests for each entry that the cache holds.
    if (this.#additions > this.#mask * 2.5) this.#age();
  }

  /** @returns 0 to 15; never less than the true count since the last halving, up to 15 */
  estimate(hash: number): number {
    let least = most;
    for (let row = 0; row < rows; row += 1) {
      // Odd multipliers spread one 32-bit hash over independent rows.
      const spread = Math.imul(hash ^ (hash >>> 15), 0x9e3779b1 + row * 0x3c6ef372);
      const place = row * (this.#mask + 1) + ((spread >>> 8) & this.#mask);
      this.#maxMarks[row] = place;
      const count = this.#counts[place] as number;
      if (count < least) least = count;
    }
    return least;
  }

  #age(): void {
    for (let i = 0; i < this.#counts.length; i += 1) (this.#counts[i] as number) >>= 1;
    this.#additions >>= 1;
  }
}
