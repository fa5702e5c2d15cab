// Tries again what was cut short, a package that was out of reach for example: soon, then less and less often. Redis is
// read again every few seconds in any case, a file only when it changes.
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

  /** What was cut short. Of others than the last time, the first try is soon again. */
  later(raw: RawPolicy): void {
    if (this.#raw === undefined || !sameDocuments(this.#raw, raw)) this.#delayMs = this.#firstMs;
    this.#raw = raw;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#again, this.#delayMs).unref();
    this.#delayMs = Math.min(2 * this.#delayMs, maxMs);
  }

  /** It is being tried, or nobody waits for it any more. */
  pause(): void {
    clearTimeout(this.#timer);
  }
}
