// One load that several wait for: it ends with the last of them.

export class Flight<Result> {
  readonly #controller = new AbortController();
  readonly #result: Promise<Result>;
  readonly #onDeserted: () => void;
  #waiting = 0;
  /** Its key was set or deleted meanwhile: what it comes to is not kept. */
  superseded = false;

  /** @param onDeserted nobody waits any more, and it is not over */
  constructor(work: (flight: Flight<Result>) => Promise<Result>, onDeserted: () => void) {
    this.#onDeserted = onDeserted;
    this.#result = work(this);
    // Each of those that wait hears of it.
    this.#result.catch(() => {});
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  end(): void {
    this.#controller.abort();
  }

  /** Settles as the load does, or rejects when the signal is aborted. */
  async join(signal: AbortSignal | undefined): Promise<Result> {
    this.#waiting += 1;
    if (signal === undefined) return await this.#result;
    const { promise, reject } = Promise.withResolvers<never>();
    const leave = (): void => {
      reject(signal.reason as Error);
      this.#waiting -= 1;
      if (this.#waiting === 0) this.#desert();
    };
    if (signal.aborted) leave();
    else signal.addEventListener("abort", leave, { once: true });
    try {
      return await Promise.race([this.#result, promise]);
    } finally {
      signal.removeEventListener("abort", leave);
    }
  }

  #desert(): void {
    this.#onDeserted();
    this.#controller.abort();
  }
}
