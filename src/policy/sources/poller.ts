// Polls with jitter: reads from time to time, because a message of a change may be lost, and soon after it is triggered.

export interface PollerOptions {
  /** One read. Must end by itself and not reject. @returns whether it worked */
  readonly read: () => Promise<boolean>;
  /** From the first trigger to the read, so that a burst of changes is one. */
  readonly settleMs: number;
  /** Mean time between reads without a trigger; each is drawn from ± 50 %, so that a fleet does not read in step. */
  readonly pollMs: number;
  /** The same after a read that failed. */
  readonly retryMs: number;
  readonly random?: () => number;
}

/** Never two reads at once; a trigger during a read causes exactly one more. */
export class Poller {
  readonly #options: PollerOptions;
  #timer: NodeJS.Timeout | undefined;
  #reading: Promise<void> | undefined;
  /** After the read that goes on; undefined = nothing changed since it began. */
  #againMs: number | undefined;
  #stopped = false;

  constructor(options: PollerOptions) {
    this.#options = options;
  }

  /** Something changed. @param afterMs until it is read */
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

  /** The earliest of the scheduled times counts; a steady stream of triggers cannot put the read off. */
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
