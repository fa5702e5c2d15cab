// When a guest that failed is started again: at once the first time, then later and later; and when never again.
import type { Clock } from "../../plugin-api/services.ts";

const minuteMs = 60_000;
const firstPauseMs = 1_000;
const longestPauseMs = 60_000;

export class Restarts {
  /** Since this process has it. */
  total = 0;
  /** Why it is not started any more. */
  quarantined: string | undefined = undefined;
  readonly #clock: Pick<Clock, "mono">;
  readonly #perMinute: number;
  /** When the last ones were, on the monotonic clock. */
  #lately: number[] = [];
  #pauseMs = 0;

  constructor(clock: Pick<Clock, "mono">, perMinute: number) {
    this.#clock = clock;
    this.#perMinute = perMinute;
  }

  /** The guest failed. @returns how long to wait until it is started again; undefined = it is not */
  failed(reason: string): number | undefined {
    const now = this.#clock.mono();
    const last = this.#lately.at(-1);
    this.#lately = this.#lately.filter((at) => now - at < minuteMs);
    if (this.#lately.length >= this.#perMinute) {
      this.quarantined = `it failed more than ${this.#perMinute} times in a minute, at last: ${reason}`;
      return undefined;
    }
    if (last === undefined || now - last >= longestPauseMs) this.#pauseMs = 0;
    const pauseMs = this.#pauseMs;
    this.#pauseMs = Math.min(longestPauseMs, Math.max(firstPauseMs, pauseMs * 2));
    this.#lately.push(now + pauseMs);
    this.total += 1;
    return pauseMs;
  }
}
