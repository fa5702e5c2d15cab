// Keeps the counts of exited workers: a sum over processes must not fall when one of them exits.
import { MetricFamilies } from "../telemetry/metric-families.ts";
import type { MetricsSnapshot } from "../telemetry/metrics.ts";

export class ExitedWorkerMetrics {
  readonly #families: MetricFamilies;

  constructor(service: string, maxSeries: number) {
    this.#families = new MetricFamilies(service, maxSeries);
  }

  /** @param last the snapshot of the last request; later counts of the worker are lost */
  add(last: MetricsSnapshot | undefined): void {
    // Gauges show the present, and the worker is gone.
    this.#families.add(last?.families.filter(({ type }) => type !== "gauge") ?? []);
  }

  snapshot(): MetricsSnapshot {
    return { families: this.#families.snapshot(), process: "" };
  }
}
