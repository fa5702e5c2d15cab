// Counts the records that found no room until a record of the chain reports how many.
import type { Counter } from "../plugin-api/contract.ts";

export class Losses {
  readonly #counter: Counter;
  #lost = 0;
  #sinceMs = 0;

  constructor(counter: Counter) {
    this.#counter = counter;
  }

  get count(): number {
    return this.#lost;
  }

  /** @returns whether it is the first loss since the last report */
  add(atMs: number): boolean {
    if (this.#lost === 0) this.#sinceMs = atMs;
    this.#lost += 1;
    this.#counter.inc();
    return this.#lost === 1;
  }

  /** @returns the report for the chain; undefined = nothing was lost. Counting starts again from zero */
  take(): { readonly lost: number; readonly from: string } | undefined {
    if (this.#lost === 0) return undefined;
    const said = { lost: this.#lost, from: new Date(this.#sinceMs).toISOString() };
    this.#lost = 0;
    return said;
  }
}
