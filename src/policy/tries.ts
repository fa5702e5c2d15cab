// Retries readings that were cut short, for example because a package was unreachable: soon, then with backoff. Redis
// is read again every few seconds in any case, but a file only when it changes.
import { sameDocuments } from "./layers/choose-layer.ts";
import type { RawPolicy } from "./read.ts";

const firstMs = 1_000;
const maxMs = 30_000;

export class Tries {
  readonly #again: () => void;
  readonly #firstMs: number;
  #delayMs: number;
  #raw: RawPolicy | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(again: () => void, first = firstMs) {
    this.#again = again;
    this.#firstMs = this.#delayMs = first;
  }

  /** Schedules a retry. Other documents than the last time start again with the first delay. */
  later(raw: RawPolicy): void {
    if (this.#raw === undefined || !sameDocuments(this.#raw, raw)) this.#delayMs = this.#firstMs;
    this.#raw = raw;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#again, this.#delayMs).unref();
    this.#delayMs = Math.min(2 * this.#delayMs, maxMs);
  }

  /** Cancels the retry: the documents are being read, or are no longer wanted. */
  pause(): void {
    clearTimeout(this.#timer);
  }
}
