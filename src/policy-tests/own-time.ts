// Measures time as far as this process could use it, so that a machine without free CPU does not make a policy look
// slow. The process's own waiting and its CPU time count; time in the queue for a CPU does not.
import { performance } from "node:perf_hooks";
import { OverLimit, withinLimit } from "../plugin-api/within-limit.ts";

export interface TimeReadings {
  /** CPU time of this thread so far. */
  readonly cpuMs: number;
  /** Time so far in which the event loop was idle. */
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

  /** @param limitMs limit of the process's own time @param wallLimitMs limit of wall-clock time: somebody waits */
  constructor(limitMs: number, wallLimitMs: number, read = readings) {
    this.#read = read;
    this.#limitMs = limitMs;
    this.#wallLimitMs = wallLimitMs;
    this.#from = read();
  }

  /** Least time until the limit; 0 = the limit is reached. */
  get leftMs(): number {
    const now = this.#read();
    const passedMs = now.wallMs - this.#from.wallMs;
    const ownMs = now.cpuMs - this.#from.cpuMs + (now.idleMs - this.#from.idleMs);
    // The readings are taken one after the other and are not exact, so own time can appear longer than wall time.
    return Math.max(0, Math.min(this.#limitMs - Math.min(ownMs, passedMs), this.#wallLimitMs - passedMs));
  }

  /** Settles like the work, or rejects with an `OverLimit` once the limit is reached. */
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
