// Bounds how many of a costly operation run at the same time; a bounded number waits a bounded time, the rest is turned
// away. One semaphore a dependency: where two share one, what hangs in the first shuts out the second.

interface Waiter {
  readonly timer: NodeJS.Timeout;
  readonly enter: () => void;
}

/** Shorter than any client's patience, longer than a burst of signatures takes. */
const maxWaitMs = 1_000;

export class Semaphore {
  readonly #width: number;
  readonly #maxWaiting: number;
  readonly #waiting = new Set<Waiter>();
  #running = 0;

  constructor(width: number, maxWaiting: number) {
    this.#width = width;
    this.#maxWaiting = maxWaiting;
  }

  /** @returns the operation's result, or undefined when too many wait already or no place came free in time */
  async run<T>(operation: () => Promise<T>): Promise<T | undefined> {
    if (this.#running < this.#width) this.#running += 1;
    else if (this.#waiting.size >= this.#maxWaiting || !(await this.#place())) return undefined;
    try {
      return await operation();
    } finally {
      this.#leave();
    }
  }

  #place(): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(waiter);
        resolve(false);
      }, maxWaitMs);
      const waiter: Waiter = { timer, enter: () => resolve(true) };
      this.#waiting.add(waiter);
    });
  }

  /** Hands the place over to who has waited longest, so that `#running` stays as it is. */
  #leave(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#running -= 1;
      return;
    }
    this.#waiting.delete(next);
    clearTimeout(next.timer);
    next.enter();
  }
}
