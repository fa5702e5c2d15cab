// Keeps sorted address ranges in typed arrays: 8 bytes for an IPv4 network, 32 for IPv6. Finds one by binary search.

/**
 * Compares two numbers of `words` 32-bit words each, most significant word first.
 * @returns below zero when the first is less
 */
function compare(a: Uint32Array, aAt: number, b: Uint32Array, bAt: number, words: number): number {
  for (let word = 0; word < words; word += 1) {
    const difference = (a[aAt + word] as number) - (b[bAt + word] as number);
    if (difference !== 0) return difference;
  }
  return 0;
}

/**
 * Radix sort, 16 bits at a time from the least significant. It compares nothing and takes the same time for any order.
 */
function sortedOrder(starts: Uint32Array, words: number): Uint32Array {
  const count = starts.length / words;
  let order = new Uint32Array(count);
  for (let i = 0; i < count; i += 1) order[i] = i;
  let next = new Uint32Array(count);
  const places = new Uint32Array(65_537);
  for (let pass = words * 2 - 1; pass >= 0; pass -= 1) {
    const word = pass >> 1;
    const shift = pass % 2 === 1 ? 0 : 16;
    const keyOf = (index: number): number => ((starts[index * words + word] as number) >>> shift) & 0xffff;
    places.fill(0);
    for (let i = 0; i < count; i += 1) (places[keyOf(i) + 1] as number) += 1;
    for (let key = 1; key < places.length; key += 1) (places[key] as number) += places[key - 1] as number;
    for (const index of order) {
      const key = keyOf(index);
      next[places[key] as number] = index;
      (places[key] as number) += 1;
    }
    [order, next] = [next, order];
  }
  return order;
}

export class Ranges {
  readonly #words: number;
  readonly #starts: Uint32Array;
  readonly #ends: Uint32Array;
  #count = 0;

  /** @param words 32-bit words in each start and end: 1 for IPv4, 4 for IPv6 */
  constructor(words: number, starts: Uint32Array, ends: Uint32Array) {
    this.#words = words;
    const sortedStarts = new Uint32Array(starts.length);
    const sortedEnds = new Uint32Array(starts.length);
    let last = -words;
    for (const index of sortedOrder(starts, words)) {
      const at = index * words;
      if (last >= 0 && compare(starts, at, sortedEnds, last, words) <= 0) {
        // Two networks are nested or disjoint. If both begin at the same address, the wider one counts.
        if (compare(ends, at, sortedEnds, last, words) > 0) {
          sortedEnds.set(ends.subarray(at, at + words), last);
        }
        continue;
      }
      last += words;
      sortedStarts.set(starts.subarray(at, at + words), last);
      sortedEnds.set(ends.subarray(at, at + words), last);
      this.#count += 1;
    }
    const length = this.#count * words;
    this.#starts = sortedStarts.slice(0, length);
    this.#ends = sortedEnds.slice(0, length);
  }

  has(address: Uint32Array): boolean {
    const words = this.#words;
    let low = 0;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compare(this.#starts, middle * words, address, 0, words) <= 0) low = middle + 1;
      else high = middle;
    }
    return low > 0 && compare(address, 0, this.#ends, (low - 1) * words, words) <= 0;
  }
}
