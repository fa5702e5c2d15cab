// Every choice of a run of mixed traffic. All come from the seed, not from the order in which things happen: the nth
// request of a client is the same in every run, and so is what the service does with it.
import { seeded } from "../../fuzz/seeded.ts";

export class Dice {
  readonly #random: () => number;

  /** @param name of whoever chooses: each has numbers of its own */
  constructor(seed: number, name: string) {
    let hash = seed | 0;
    for (const char of name) hash = Math.imul(hash ^ char.charCodeAt(0), 0x01000193);
    this.#random = seeded(hash);
  }

  below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  oneIn(times: number): boolean {
    return this.below(times) === 0;
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)] as T;
  }
}
