// Implements a token bucket: `perSecond` tokens per second, and as many saved up.

export class Rate {
  readonly perSecond: number;
  #left: number;
  #atMono: number;

  constructor(perSecond: number, nowMono: number) {
    this.perSecond = perSecond;
    this.#left = perSecond;
    this.#atMono = nowMono;
  }

  /** @returns whether `count` tokens were there to take */
  take(nowMono: number, count = 1): boolean {
    const earned = ((nowMono - this.#atMono) / 1_000) * this.perSecond;
    this.#left = Math.min(this.perSecond, this.#left + earned);
    this.#atMono = nowMono;
    if (this.#left < count) return false;
    this.#left -= count;
    return true;
  }
}
