// How many of its requests a connection may take back: a burst, and so many a second.

const burst = 100;
const perSecond = 10;

export class ResetBudget {
  #left = burst;
  #atMono: number;

  constructor(nowMono: number) {
    this.#atMono = nowMono;
  }

  /** @returns false = it is one too many */
  take(nowMono: number): boolean {
    this.#left = Math.min(burst, this.#left + ((nowMono - this.#atMono) / 1_000) * perSecond);
    this.#atMono = nowMono;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
