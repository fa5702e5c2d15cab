// Estimates each caller's requests of the last minute from this minute and part of the one before; a bounded table.
import { boundedCache, type Clock } from "../../src/plugin-api/contract.ts";

const callers = 20_000;
const windowMs = 60_000;

interface Count {
  windowMono: number;
  now: number;
  before: number;
}

export class CallerRates {
  readonly #counts = boundedCache<Count>(callers);
  readonly #clock: Pick<Clock, "mono">;

  constructor(clock: Pick<Clock, "mono">) {
    this.#clock = clock;
  }

  /** Counts one request. @returns the estimated number within the last minute, this one included */
  count(caller: string): number {
    const nowMono = this.#clock.mono();
    let count = this.#counts.get(caller);
    if (count === undefined) this.#counts.set(caller, (count = { windowMono: nowMono, now: 0, before: 0 }));
    const passed = nowMono - count.windowMono;
    if (passed >= windowMs) {
      count.before = passed >= 2 * windowMs ? 0 : count.now;
      count.now = 0;
      count.windowMono += Math.floor(passed / windowMs) * windowMs;
    }
    count.now += 1;
    const left = 1 - (nowMono - count.windowMono) / windowMs;
    return count.now + count.before * left;
  }
}
