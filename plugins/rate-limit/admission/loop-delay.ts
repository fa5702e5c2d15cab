// Measures how late this process's event loop runs. A single pause (garbage collection, a new policy) is not overload,
// so the smallest delay of the last quarter of a second counts.
import type { Clock } from "../../../src/plugin-api/contract.ts";

const tickMs = 50;
const remembered = 5;

export class LoopDelay {
  readonly #clock: Clock;
  readonly #recent: number[] = Array.from({ length: remembered }, () => 0);
  #next = 0;
  #sustainedMs = 0;
  #debt = 0;
  #timer: NodeJS.Timeout | undefined = undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Starts to measure. Further calls have no effect. The timer does not keep the process alive. */
  start(): void {
    if (this.#timer !== undefined) return;
    let due = this.#clock.mono() + tickMs;
    this.#timer = setInterval(() => {
      const now = this.#clock.mono();
      this.observe(Math.max(0, now - due));
      due = now + tickMs;
    }, tickMs).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** @param delayMs how late one tick came */
  observe(delayMs: number): void {
    this.#recent[this.#next] = delayMs;
    this.#next = (this.#next + 1) % remembered;
    this.#sustainedMs = Math.min(...this.#recent);
  }

  /** Whether to shed this request. The part shed grows from none at the threshold to 95 % near twice the threshold. */
  sheds(thresholdMs: number): boolean {
    if (this.#sustainedMs <= thresholdMs) return false;
    this.#debt += Math.min(0.95, (this.#sustainedMs - thresholdMs) / thresholdMs);
    if (this.#debt < 1) return false;
    this.#debt -= 1;
    return true;
  }
}
