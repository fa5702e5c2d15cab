// All metrics of one process: families of our own beside prom-client's process metrics, as one Prometheus text.
import { collectDefaultMetrics, Registry } from "prom-client";
import type { Metrics } from "./contract.ts";
import {
  Buckets,
  type Child,
  CounterChild,
  Family,
  type FamilyOptions,
  GaugeChild,
  HistogramChild,
} from "./family.ts";

export interface MetricsOptions {
  /** Value of the `service` label of every series. */
  readonly service: string;
  /** Most series of one family; the rest is counted together. */
  readonly maxSeries?: number;
}

export interface MetricsRegistry extends Metrics {
  /** Content type of what `render` gives. */
  readonly contentType: string;
  /** All metrics in the Prometheus text format 0.0.4. */
  render(): Promise<string>;
  /** Runs before every `render`: sets gauges that are only worth computing when somebody looks. */
  onRender(update: () => void): void;
}

/** Seconds; from a hit in the cache to a slow upstream. */
export const durationBuckets: readonly number[] = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];

const metricName = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const labelName = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

/** @throws Error for a name, label or bucket list that Prometheus would not take or that is ours alone to set */
function check({ name, labels, buckets }: FamilyOptions): void {
  if (!metricName.test(name) || /^(process|nodejs)_/.test(name))
    throw new Error(`metric name ${name} cannot be used`);
  for (const label of labels) {
    const reserved = label === "service" || label === "le" || label.startsWith("__");
    if (reserved || !labelName.test(label))
      throw new Error(`label ${label} of metric ${name} cannot be used`);
  }
  if (new Set(labels).size !== labels.length) throw new Error(`metric ${name} has a label twice`);
  if (buckets.some((bound, i) => !Number.isFinite(bound) || (i > 0 && bound <= (buckets[i - 1] as number)))) {
    throw new Error(`buckets of metric ${name} do not rise`);
  }
}

export function createMetrics({ service, maxSeries = 1000 }: MetricsOptions): MetricsRegistry {
  const processRegistry = new Registry();
  processRegistry.setDefaultLabels({ service });
  // The event loop's delay is sampled by a timer; at the default 10 ms it is a tenth of an idle sidecar's work.
  collectDefaultMetrics({ register: processRegistry, eventLoopMonitoringPrecision: 50 });
  const families = new Map<string, Family<Child>>();
  const updates: (() => void)[] = [];

  function family<T extends Child>(
    wanted: Omit<FamilyOptions, "service" | "maxSeries">,
    make: (labels: string) => T,
  ): (...values: string[]) => T {
    const options = { ...wanted, service, maxSeries };
    const known = families.get(wanted.name);
    if (known !== undefined) {
      const same = (["type", "labels", "buckets"] as const).every(
        (key) => String(known.options[key]) === String(options[key]),
      );
      if (!same) throw new Error(`metric ${wanted.name} exists with another type, labels or buckets`);
      // The same type, so the same class of children.
      return (...values) => known.child(values) as T;
    }
    check(options);
    const made = new Family(options, make);
    families.set(wanted.name, made);
    return (...values) => made.child(values);
  }

  return {
    contentType: processRegistry.contentType,
    counter(name, help, labels = []) {
      const make = (text: string) => new CounterChild(name, text);
      return family({ name, help, type: "counter", labels, buckets: [] }, make);
    },
    gauge(name, help, labels = []) {
      const make = (text: string) => new GaugeChild(name, text);
      return family({ name, help, type: "gauge", labels, buckets: [] }, make);
    },
    histogram(name, help, labels = [], bounds = durationBuckets) {
      const buckets = new Buckets(bounds);
      const make = (text: string) => new HistogramChild(name, text, buckets);
      return family({ name, help, type: "histogram", labels, buckets: bounds }, make);
    },
    onRender: (update) => void updates.push(update),
    async render() {
      for (const update of updates) update();
      const text: string[] = [];
      for (const one of families.values()) one.render(text);
      return `${text.join("\n")}${text.length > 0 ? "\n" : ""}${await processRegistry.metrics()}`;
    },
  };
}
