// Polls with jitter. It reads from time to time, because a change message may be lost, and soon after a trigger.

export interface PollerOptions {
  /** Reads once. Must end by itself and must not reject. @returns whether the read worked */
  readonly read: () => Promise<boolean>;
  /** Delay from the first trigger to the read, so that a burst of changes causes one read. */
  readonly settleMs: number;
  /** Mean time between reads without a trigger. Each is drawn from ± 50 %, so that a fleet does not read in step. */
  readonly pollMs: number;
  /** Mean time to the next read after a failed one. */
  readonly retryMs: number;
  readonly random?: () => number;
}

/** Runs one read at a time. Triggers during a read cause exactly one more. */
export class Poller {
  readonly #options: PollerOptions;
  #timer: NodeJS.Timeout | undefined;
  #reading: Promise<void> | undefined;
  /** Delay of the next read after the current one; undefined = nothing has changed since that began. */
  #againMs: number | undefined;
  #stopped = false;

  constructor(options: PollerOptions) {
    this.#options = options;
  }

  /** Schedules a read after a change. @param afterMs delay of the read */
  trigger(afterMs = this.#options.settleMs): void {
    if (this.#reading !== undefined) this.#againMs = Math.min(this.#againMs ?? Infinity, afterMs);
    else this.#schedule(afterMs);
  }

  readNow(): void {
    this.#schedule(0);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#reading;
  }

  /**
   * When the next read is due. The earliest scheduled time wins, so a steady stream of triggers cannot delay the read.
   */
  #dueAt = Infinity;
  #schedule(delayMs: number): void {
    const dueAt = performance.now() + delayMs;
    if (this.#stopped || dueAt >= this.#dueAt) return;
    clearTimeout(this.#timer);
    this.#dueAt = dueAt;
    this.#timer = setTimeout(() => {
      this.#dueAt = Infinity;
      this.#reading = this.#read();
    }, delayMs);
  }

  async #read(): Promise<void> {
    this.#againMs = undefined;
    const worked = await this.#options.read();
    this.#reading = undefined;
    const { pollMs, retryMs, random = Math.random } = this.#options;
    this.#schedule((worked ? pollMs : retryMs) * (0.5 + random()));
    if (this.#againMs !== undefined) this.#schedule(this.#againMs);
  }
}
