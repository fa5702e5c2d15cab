// What workers that ended had counted: a sum over processes must not fall when one of them goes.
import { MetricFamilies } from "../telemetry/metric-families.ts";
import type { MetricsSnapshot } from "../telemetry/metrics.ts";

export class Departed {
  readonly #families: MetricFamilies;

  constructor(service: string, maxSeries: number) {
    this.#families = new MetricFamilies(service, maxSeries);
  }

  /** @param last what the worker had counted when last asked; what it counted since is lost with it */
  add(last: MetricsSnapshot | undefined): void {
    // Gauges tell of what is, and it is no more.
    this.#families.add(last?.families.filter(({ type }) => type !== "gauge") ?? []);
  }

  snapshot(): MetricsSnapshot {
    return { families: this.#families.snapshot(), process: "" };
  }
}
