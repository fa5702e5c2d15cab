// A request or response that a guest holds up: until the guest says to go on, its exchange ends, or nothing is under way
// that could make it say so.

/** How long a guest may hold one up while no call of its own is under way. */
const stallMs = 2_000;

export class Pause {
  readonly #settled = Promise.withResolvers<void>();
  readonly #signal: AbortSignal;
  readonly #onAbort = (): void => this.fail(new Error("the exchange is over"));
  #stall: NodeJS.Timeout | undefined = undefined;
  #calls: number;

  /** @param calls of the guest's own that are under way @param signal of the exchange */
  constructor(calls: number, signal: AbortSignal) {
    this.#calls = calls;
    this.#signal = signal;
    signal.addEventListener("abort", this.#onAbort, { once: true });
    this.#watch();
    if (signal.aborted) this.#onAbort();
  }

  /** Resolves when it is over. */
  get over(): Promise<void> {
    return this.#settled.promise;
  }

  callsAre(calls: number): void {
    this.#calls = calls;
    this.#watch();
  }

  end(): void {
    this.#stop();
    this.#settled.resolve();
  }

  fail(error: Error): void {
    this.#stop();
    this.#settled.reject(error);
  }

  #watch(): void {
    clearTimeout(this.#stall);
    if (this.#calls > 0) return;
    this.#stall = setTimeout(
      () => this.fail(new Error(`it paused, and did not go on within ${stallMs} ms`)),
      stallMs,
    );
  }

  #stop(): void {
    clearTimeout(this.#stall);
    this.#signal.removeEventListener("abort", this.#onAbort);
  }
}
