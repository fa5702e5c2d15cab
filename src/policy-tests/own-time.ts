// How long work took by the time that this process was given: a machine that has no CPU for it must not make a policy
// look slow. What it waited for by itself counts, and what it worked for; what it stood in the queue for CPU does not.
import { performance } from "node:perf_hooks";
import { OverLimit, withinLimit } from "../plugin-api/within-limit.ts";

export interface TimeReadings {
  /** CPU of this thread so far. */
  readonly cpuMs: number;
  /** Time so far that the event loop had nothing to do in. */
  readonly idleMs: number;
  readonly wallMs: number;
}

function readings(): TimeReadings {
  const { user, system } = process.threadCpuUsage();
  return {
    cpuMs: (user + system) / 1_000,
    idleMs: performance.eventLoopUtilization().idle,
    wallMs: performance.now(),
  };
}

export class OwnTime {
  readonly #read: () => TimeReadings;
  readonly #limitMs: number;
  readonly #wallLimitMs: number;
  readonly #from: TimeReadings;

  /** @param wallLimitMs by the clock on the wall: somebody waits */
  constructor(limitMs: number, wallLimitMs: number, read = readings) {
    this.#read = read;
    this.#limitMs = limitMs;
    this.#wallLimitMs = wallLimitMs;
    this.#from = read();
  }

  /** At least how long it goes on; 0 = it is over. */
  get leftMs(): number {
    const now = this.#read();
    const passedMs = now.wallMs - this.#from.wallMs;
    const ownMs = now.cpuMs - this.#from.cpuMs + (now.idleMs - this.#from.idleMs);
    // Both are read one after the other, and neither to the microsecond.
    return Math.max(0, Math.min(this.#limitMs - Math.min(ownMs, passedMs), this.#wallLimitMs - passedMs));
  }

  /** Settles as the work does, or rejects with an `OverLimit` once the time is over. */
  async until<Result>(work: Promise<Result>): Promise<Result> {
    for (;;) {
      try {
        return await withinLimit(work, this.leftMs, "the time is over");
      } catch (error) {
        if (!(error instanceof OverLimit) || this.leftMs === 0) throw error;
      }
    }
  }
}
