// Where policies come from, and the loop that keeps reading there: told of a change it reads again, and it reads from
// time to time anyway, because a message may be lost.
import type { RawPolicy } from "../read.ts";

export type SourceReading =
  | { readonly state: "read"; readonly raw: RawPolicy }
  /** The source answers and has no policy. */
  | { readonly state: "absent"; readonly message: string }
  | { readonly state: "failed"; readonly message: string };

export interface PolicySource {
  readonly kind: "redis" | "file";
  /** Reads now, and again after every change. The first reading comes within a bounded time. */
  start(onReading: (reading: SourceReading) => void): void;
  /** Nothing is read any more once this is through. */
  stop(): Promise<void>;
  /** Why changes are not told but looked for each second; null when they are told. */
  readonly polledBecause?: string | null;
}

export interface RereadOptions {
  /** One read. Must end by itself and not reject. @returns whether it worked */
  readonly read: () => Promise<boolean>;
  /** From the first notice of a change to the read, so that a burst of changes is one. */
  readonly settleMs: number;
  /** Mean time between reads without notice; each is drawn from ± 50 %, so that a fleet does not read in step. */
  readonly pollMs: number;
  /** The same after a read that failed. */
  readonly retryMs: number;
  readonly random?: () => number;
}

/** Never two reads at once; a notice during a read causes exactly one more. */
export class Rereader {
  readonly #options: RereadOptions;
  #timer: NodeJS.Timeout | undefined;
  #reading: Promise<void> | undefined;
  #again = false;
  #stopped = false;

  constructor(options: RereadOptions) {
    this.#options = options;
  }

  /** Something changed. */
  notice(): void {
    if (this.#reading !== undefined) this.#again = true;
    else this.#schedule(this.#options.settleMs);
  }

  readNow(): void {
    this.#schedule(0);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#reading;
  }

  /** The earliest of the scheduled times counts; a steady stream of notices cannot put the read off. */
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
    this.#again = false;
    const worked = await this.#options.read();
    this.#reading = undefined;
    const { settleMs, pollMs, retryMs, random = Math.random } = this.#options;
    this.#schedule((worked ? pollMs : retryMs) * (0.5 + random()));
    if (this.#again) this.#schedule(settleMs);
  }
}
