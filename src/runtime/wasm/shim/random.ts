// Makes random bytes for a guest: ChaCha20 (RFC 8439 section 2.3) with a key that the host draws for each guest.

export class RandomBytes {
  readonly #state = new Uint32Array(16);
  #block = "";

  /** @param key 32 bytes */
  constructor(key: string) {
    const byte = (at: number): number => key.charCodeAt(at);
    this.#state.set([0x61707865, 0x3320646e, 0x79622d32, 0x6b206574]);
    for (let i = 0; i < 8; i += 1) {
      this.#state[4 + i] =
        byte(i * 4) | (byte(i * 4 + 1) << 8) | (byte(i * 4 + 2) << 16) | (byte(i * 4 + 3) << 24);
    }
  }

  take(count: number): string {
    while (this.#block.length < count) this.#block += this.#next();
    const bytes = this.#block.slice(0, count);
    this.#block = this.#block.slice(count);
    return bytes;
  }

  #next(): string {
    const from = this.#state;
    const to = new Uint32Array(from);
    for (let i = 0; i < 10; i += 1) {
      for (let column = 0; column < 4; column += 1)
        this.#round(to, [column, column + 4, column + 8, column + 12]);
      for (let column = 0; column < 4; column += 1) {
        this.#round(to, [column, 4 + ((column + 1) % 4), 8 + ((column + 2) % 4), 12 + ((column + 3) % 4)]);
      }
    }
    let bytes = "";
    for (let i = 0; i < 16; i += 1) {
      const word = (to[i] as number) + (from[i] as number);
      bytes += String.fromCharCode(word & 255, (word >>> 8) & 255, (word >>> 16) & 255, (word >>> 24) & 255);
    }
    from[12] = (from[12] as number) + 1;
    if (from[12] === 0) from[13] = (from[13] as number) + 1;
    return bytes;
  }

  #round(words: Uint32Array, [a, b, c, d]: readonly [number, number, number, number]): void {
    this.#quarter(words, a, b, d, 16);
    this.#quarter(words, c, d, b, 12);
    this.#quarter(words, a, b, d, 8);
    this.#quarter(words, c, d, b, 7);
  }

  #quarter(words: Uint32Array, sum: number, added: number, turned: number, by: number): void {
    const total = ((words[sum] as number) + (words[added] as number)) >>> 0;
    words[sum] = total;
    const mixed = (words[turned] as number) ^ total;
    words[turned] = (mixed << by) | (mixed >>> (32 - by));
  }
}
