// Limits how many streams of a connection one side may reset: a burst, and so many per second. A server that counts
// resets (CVE-2023-44487) ends a connection with too many of them, and with it the streams of all clients.

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

  /** @returns false = it is one reset too many */
  take(nowMono: number): boolean {
    const { burst, perSecond } = this.#limits;
    this.#left = Math.min(burst, this.#left + ((nowMono - this.#atMono) / 1_000) * perSecond);
    this.#atMono = nowMono;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
