// Implements a semaphore: at most `max` callers at the same time. Further ones wait in order, as long as their
// deadlines allow.
import type { Deadline } from "../deadline.ts";

export class Places {
  readonly #max: number;
  #taken = 0;
  readonly #queue = new Set<() => void>();

  constructor(max: number) {
    this.#max = max;
  }

  get waiting(): number {
    return this.#queue.size;
  }

  /** @returns false when the deadline came first; `leave` must not be called then */
  async enter({ signal }: Deadline): Promise<boolean> {
    if (signal.aborted) return false;
    if (this.#taken < this.#max) {
      this.#taken += 1;
      return true;
    }
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const goIn = (): void => resolve(true);
    const goAway = (): void => {
      if (this.#queue.delete(goIn)) resolve(false);
    };
    this.#queue.add(goIn);
    signal.addEventListener("abort", goAway, { once: true });
    try {
      return await promise;
    } finally {
      signal.removeEventListener("abort", goAway);
    }
  }

  /** Passes the place to the next caller that waits. */
  leave(): void {
    const [next] = this.#queue;
    if (next === undefined) {
      this.#taken -= 1;
      return;
    }
    this.#queue.delete(next);
    next();
  }
}
