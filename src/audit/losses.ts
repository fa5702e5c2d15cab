// Records that found no room, counted until the chain says how many.
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

  /** @returns whether it is the first since the chain said so */
  add(atMs: number): boolean {
    if (this.#lost === 0) this.#sinceMs = atMs;
    this.#lost += 1;
    this.#counter.inc();
    return this.#lost === 1;
  }

  /** @returns what the chain says of them; undefined = there were none. They are counted anew from here */
  take(): { readonly lost: number; readonly from: string } | undefined {
    if (this.#lost === 0) return undefined;
    const said = { lost: this.#lost, from: new Date(this.#sinceMs).toISOString() };
    this.#lost = 0;
    return said;
  }
}
