// How many streams of a connection one side may take back: a burst, and so many a second. A server that counts them
// (CVE-2023-44487) ends the connection of whoever takes back more, and with it everybody's streams.

export interface ResetLimits {
  readonly burst: number;
  readonly perSecond: number;
}

export class ResetBudget {
  readonly #limits: ResetLimits;
  #left: number;
  #atMono: number;

  constructor(limits: ResetLimits, nowMono: number) {
    this.#limits = limits;
    this.#left = limits.burst;
    this.#atMono = nowMono;
  }

  /** @returns false = it is one too many */
  take(nowMono: number): boolean {
    const { burst, perSecond } = this.#limits;
    this.#left = Math.min(burst, this.#left + ((nowMono - this.#atMono) / 1_000) * perSecond);
    this.#atMono = nowMono;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
