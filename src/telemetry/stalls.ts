// Reports a stall of the event loop after it has ended: how long it was and, if known, what caused it. During the stall
// nothing in this process could report it.
import type { Logger, Metrics } from "../plugin-api/telemetry.ts";

const tickMs = 250;
const stallMs = 1_000;

export class StallWatch {
  readonly #logger: Logger;
  readonly #seconds: { observe(seconds: number): void };
  #suspect: { readonly by: string; readonly ms: number } | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(logger: Logger, metrics: Metrics) {
    this.#logger = logger;
    this.#seconds = metrics.histogram(
      "outrigger_event_loop_stall_seconds",
      "Times of a second and more in which the event loop stalled",
      [],
      [1, 2, 5, 10, 30],
    )();
  }

  /** Starts the watch; its timer does not keep the process alive. */
  start(): void {
    let lastMono = performance.now();
    let lastCpu = process.cpuUsage();
    this.#timer = setInterval(() => {
      const nowMono = performance.now();
      const cpu = process.cpuUsage(lastCpu);
      this.#look(nowMono - lastMono - tickMs, (cpu.user + cpu.system) / 1000);
      lastMono = nowMono;
      lastCpu = process.cpuUsage();
    }, tickMs);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Notes that something with a known name ran for `ms` without a break. */
  suspect(by: string, ms: number): void {
    if (this.#suspect === undefined || this.#suspect.ms < ms) this.#suspect = { by, ms };
  }

  #look(lateMs: number, cpuMs: number): void {
    const suspect = this.#suspect;
    this.#suspect = undefined;
    if (lateMs < stallMs) return;
    this.#seconds.observe(lateMs / 1000);
    // A process that got little CPU (starved, stopped, host asleep) did not cause the stall itself.
    const starved = cpuMs < lateMs / 2;
    const by = suspect !== undefined && suspect.ms > lateMs / 2 ? suspect.by : undefined;
    this.#logger.warn(
      {
        stalledMs: Math.round(lateMs),
        cpuMs: Math.round(cpuMs),
        by: by ?? (starved ? "others: this process got no CPU or waited for the system" : "unknown"),
      },
      "the event loop stalled",
    );
  }
}
