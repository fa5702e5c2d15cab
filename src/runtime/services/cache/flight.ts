// Shares one load among several callers. The load is aborted when the last of them leaves.

export class Flight<Result> {
  readonly #controller = new AbortController();
  readonly #result: Promise<Result>;
  readonly #onDeserted: () => void;
  #waiting = 0;
  /** The key was set or deleted in the meantime: the result must not be cached. */
  superseded = false;

  /** @param onDeserted called when the last caller leaves before the load is over */
  constructor(work: (flight: Flight<Result>) => Promise<Result>, onDeserted: () => void) {
    this.#onDeserted = onDeserted;
    this.#result = work(this);
    // The callers get the rejection through `join`; without this handler it would also be unhandled.
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
