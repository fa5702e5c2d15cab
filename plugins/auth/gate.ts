// Bounds how many of a costly operation run at the same time; a bounded number waits, the rest is turned away.

export class Gate {
  readonly #width: number;
  readonly #maxWaiting: number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(width: number, maxWaiting: number) {
    this.#width = width;
    this.#maxWaiting = maxWaiting;
  }

  /** @returns the operation's result, or undefined when too many wait already */
  async run<T>(operation: () => Promise<T>): Promise<T | undefined> {
    if (this.#running < this.#width) this.#running += 1;
    else if (this.#waiting.length >= this.#maxWaiting) return undefined;
    // Whoever ends hands its place over, so that `#running` stays as it is.
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await operation();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }
}
