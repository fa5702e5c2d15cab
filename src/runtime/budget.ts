// Compares the time a plugin takes per request with its limit, from the manifest (`needs.timeMicros`) or the policy
// (`limits.timeMicros`). It reports when the plugin goes over, and quarantines a plugin that stays over.
import type { Clock, Gauge, Logger, Metrics } from "../plugin-api/services.ts";
import type { Phase } from "./hook-measures.ts";
import type { PluginFaults } from "./plugin-faults.ts";

const windowMs = 10_000;
/** Fewer observations do not give a useful average. */
const minObservations = 256;
/** Consecutive windows over the limit before the plugin is quarantined. */
const maxWindowsOver = 3;

export interface BudgetOf {
  readonly name: string;
  readonly version: string;
  /** Highest average per request, in microseconds. */
  readonly micros: number;
}

interface BudgetParts {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly faults: PluginFaults;
}

export class Budget {
  readonly #of: BudgetOf;
  readonly #parts: BudgetParts;
  #gauge: Gauge | undefined;
  #sinceMono: number;
  #seconds = 0;
  #observations = 0;
  #calls: Record<Phase, number> = noCalls();
  #windowsOver = 0;

  constructor(of: BudgetOf, parts: BudgetParts) {
    this.#of = of;
    this.#parts = parts;
    this.#sinceMono = parts.clock.mono();
  }

  /** Records how long one hook of the plugin took. */
  took(phase: Phase, seconds: number): void {
    this.#seconds += seconds;
    this.#calls[phase] += 1;
    this.#observations += 1;
    // The clock is read rarely, because this runs in every hook.
    if (this.#observations % minObservations === 0) this.#look(this.#parts.clock.mono());
  }

  #look(nowMono: number): void {
    if (nowMono - this.#sinceMono < windowMs) return;
    // A request calls each hook at most once, so the hook called most often gives the number of requests.
    const requests = Math.max(...Object.values(this.#calls));
    this.#judge(Math.round((this.#seconds * 1e6) / requests), nowMono);
    this.#sinceMono = nowMono;
    this.#seconds = this.#observations = 0;
    this.#calls = noCalls();
  }

  #judge(averageMicros: number, nowMono: number): void {
    const { name: plugin, version, micros: budgetMicros } = this.#of;
    const { faults, logger } = this.#parts;
    const isOver = averageMicros > budgetMicros;
    const wasOver = this.#windowsOver > 0;
    this.#windowsOver = isOver ? this.#windowsOver + 1 : 0;
    if (isOver !== wasOver) {
      this.#over().set(isOver ? 1 : 0);
      const fields = { plugin, version, averageMicros, budgetMicros };
      if (isOver) logger.warn(fields, "plugin takes more time a request than it is allowed");
      else logger.info(fields, "plugin is within its time a request again");
    }
    const concern = `it takes ${averageMicros} µs a request, and is to take no more than ${budgetMicros}`;
    faults.concern = isOver ? concern : undefined;
    if (this.#windowsOver < maxWindowsOver) return;
    this.#windowsOver = 0;
    faults.quarantine(concern, nowMono);
  }

  /** Created on first use: most versions never go over their limit. */
  #over(): Gauge {
    return (this.#gauge ??= this.#parts.metrics.gauge(
      "outrigger_plugin_over_budget",
      "Whether a plugin takes more time a request than it is allowed",
      ["plugin", "version"],
      "max",
    )(this.#of.name, this.#of.version));
  }
}

const noCalls = (): Record<Phase, number> => ({
  onRequest: 0,
  onResponse: 0,
  onError: 0,
  onComplete: 0,
  recheck: 0,
});
