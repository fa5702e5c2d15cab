// How often a key was asked for lately, estimated in a fixed amount of memory: a count-min sketch whose counts are
// halved as they grow old (TinyLFU, Einziger et al. 2017). It decides what a full cache admits.

const rows = 4;
const most = 15;

export class FrequencySketch {
  readonly #counts: Uint8Array;
  readonly #mask: number;
  #additions = 0;

  /** @param width counters a row, a power of two; about the number of entries that the cache holds */
  constructor(width = 65_536) {
    this.#counts = new Uint8Array(width * rows);
    this.#mask = width - 1;
  }

  /** Counts one request. @param hash of `hashKey` */
  add(hash: number): void {
    for (let row = 0; row < rows; row += 1) {
      const at = this.#slot(hash, row);
      if ((this.#counts[at] as number) < most) (this.#counts[at] as number) += 1;
    }
    this.#additions += 1;
    if (this.#additions > this.#mask * 10) this.#age();
  }

  /** @returns 0 to 15; never less than the true count since the last halving, up to 15 */
  estimate(hash: number): number {
    let least = most;
    for (let row = 0; row < rows; row += 1) {
      least = Math.min(least, this.#counts[this.#slot(hash, row)] as number);
    }
    return least;
  }

  #slot(hash: number, row: number): number {
    // Odd multipliers spread one 32-bit hash over independent rows.
    const spread = Math.imul(hash ^ (hash >>> 15), 0x9e3779b1 + row * 0x3c6ef372);
    return row * (this.#mask + 1) + ((spread >>> 12) & this.#mask);
  }

  #age(): void {
    for (let i = 0; i < this.#counts.length; i += 1) (this.#counts[i] as number) >>= 1;
    this.#additions >>= 1;
  }
}

/** FNV-1a over the characters of a key. */
export function hashKey(url: string, partition: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < url.length; i += 1) hash = Math.imul(hash ^ url.charCodeAt(i), 0x01000193);
  for (let i = 0; i < partition.length; i += 1) hash = Math.imul(hash ^ partition.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
