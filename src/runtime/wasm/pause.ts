// Waits while a guest pauses a request or response. The pause ends when the guest resumes it. It fails when the
// exchange ends, or when for `stallMs` no call is in progress that could make the guest resume.

/** How long a guest may pause one while none of its own calls is in progress. */
const stallMs = 2_000;

export class Pause {
  readonly #settled = Promise.withResolvers<void>();
  readonly #signal: AbortSignal;
  readonly #onAbort = (): void => this.fail(new Error("the exchange is over"));
  #stall: NodeJS.Timeout | undefined = undefined;
  #calls: number;

  /** @param calls the guest's own calls in progress @param signal of the exchange */
  constructor(calls: number, signal: AbortSignal) {
    this.#calls = calls;
    this.#signal = signal;
    signal.addEventListener("abort", this.#onAbort, { once: true });
    this.#watch();
    if (signal.aborted) this.#onAbort();
  }

  /** Resolves when the guest resumes; rejects when the pause fails. */
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
