// Holds all metrics of one process (its families and prom-client's process metrics) and renders them as one Prometheus
// text. Also merges the metrics of several processes.
import { collectDefaultMetrics, Registry } from "prom-client";
import { z } from "zod";
import type { Metrics } from "../plugin-api/telemetry.ts";
import { MetricFamilies, familySnapshot } from "./metric-families.ts";
import { Buckets, CounterChild, GaugeChild, HistogramChild } from "./metric-family.ts";

export interface MetricsOptions {
  /** Value of the `service` label of every series. */
  readonly service: string;
  /** Value of the `worker` label of the process metrics; undefined when the sidecar has one process. */
  readonly worker?: string | undefined;
  /** Most series of one family; further ones are folded into `other`. */
  readonly maxSeries?: number;
  /** Called once for each metric that reaches this bound. */
  readonly onFolded?: ((metric: string) => void) | undefined;
}

const leftOutFamily = {
  name: "outrigger_worker_metrics_left_out",
  help: "Metrics of workers that this page leaves out: another worker has the name with another type, labels or buckets",
  type: "gauge",
  labels: [],
  buckets: [],
  aggregation: "sum",
} as const;

/** Schema of the metrics that one process sends to another. */
export const metricsSnapshot = z.strictObject({
  families: z.array(familySnapshot),
  /** prom-client's text: one block per metric. */
  process: z.string(),
});

export type MetricsSnapshot = z.output<typeof metricsSnapshot>;

export interface MetricsRegistry extends Metrics {
  /** All metrics in the Prometheus text format 0.0.4. @param open OpenMetrics 1.0 instead, with exemplars */
  render(open?: boolean): Promise<string>;
  /** Runs before every `render` and `snapshot`: for gauges that are only worth computing when they are read. */
  onRender(update: () => void): void;
  snapshot(): Promise<MetricsSnapshot>;
  /** Removes the series of something that no longer exists, which makes room for another. */
  forget(name: string, values: readonly string[]): void;
}

export interface MergedMetrics {
  readonly families: MetricFamilies;
  /** prom-client's text. */
  readonly process: string;
}

/** In seconds: from a cache hit to a slow upstream. */
const durationBuckets: readonly number[] = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];

/** Most series of one family by default. */
export const defaultMaxSeries = 1000;

export function createMetrics({
  service,
  worker,
  maxSeries = defaultMaxSeries,
  onFolded,
}: MetricsOptions): MetricsRegistry {
  const processRegistry = new Registry();
  processRegistry.setDefaultLabels({ service, ...(worker === undefined ? {} : { worker }) });
  // A timer samples the event loop's delay. At the default of 10 ms it does a tenth of an idle sidecar's work.
  collectDefaultMetrics({ register: processRegistry, eventLoopMonitoringPrecision: 50 });
  const families = new MetricFamilies(service, maxSeries, onFolded);
  const updates: (() => void)[] = [];
  const update = (): void => updates.forEach((one) => one());
  return {
    counter(name, help, labels = []) {
      const wanted = { name, help, type: "counter", labels, buckets: [], aggregation: "sum" } as const;
      const family = families.define(wanted, (text) => new CounterChild(name, text));
      return (...values) => family.child(values);
    },
    gauge(name, help, labels = [], aggregation = "sum") {
      const wanted = { name, help, type: "gauge", labels, buckets: [], aggregation } as const;
      const family = families.define(wanted, (text) => new GaugeChild(name, text));
      return (...values) => family.child(values);
    },
    histogram(name, help, labels = [], bounds = durationBuckets) {
      const buckets = new Buckets(bounds);
      const wanted = { name, help, type: "histogram", labels, buckets: bounds, aggregation: "sum" } as const;
      const family = families.define(wanted, (text) => new HistogramChild(name, text, buckets));
      return (...values) => family.child(values);
    },
    forget: (name, values) => families.forget(name, values),
    onRender: (update) => void updates.push(update),
    async render(open = false) {
      update();
      return textOf(families, await processRegistry.metrics(), open);
    },
    async snapshot() {
      update();
      return { families: families.snapshot(), process: await processRegistry.metrics() };
    },
  };
}

/**
 * Merges the metrics of several processes: counters and histograms are summed, gauges combined as their family says,
 * and each process keeps its own process metrics.
 */
export function mergeSnapshots(
  service: string,
  snapshots: readonly MetricsSnapshot[],
  maxSeries = defaultMaxSeries,
): MergedMetrics {
  const families = new MetricFamilies(service, maxSeries);
  const blocks = new Map<string, string[]>();
  const leftOut = families
    .define(leftOutFamily, (labels) => new GaugeChild(leftOutFamily.name, labels))
    .child([]);
  let left = 0;
  for (const snapshot of snapshots) {
    left += families.add(snapshot.families).length;
    for (const block of snapshot.process.trimEnd().split("\n\n")) {
      if (block === "") continue;
      // The format requires all samples of a metric in one group, after its HELP and TYPE lines.
      const [help = "", type = "", ...samples] = block.split("\n");
      const known = blocks.get(help);
      if (known === undefined) blocks.set(help, [help, type, ...samples]);
      else known.push(...samples);
    }
  }
  leftOut.set(left);
  const process = `${[...blocks.values()].map((lines) => lines.join("\n")).join("\n\n")}\n`;
  return { families, process };
}

/** Merges the metrics of several processes and renders them as one text. */
export function mergeMetrics(
  service: string,
  snapshots: readonly MetricsSnapshot[],
  {
    maxSeries = defaultMaxSeries,
    open = false,
  }: { readonly maxSeries?: number; readonly open?: boolean } = {},
): string {
  const { families, process } = mergeSnapshots(service, snapshots, maxSeries);
  return textOf(families, process, open);
}

function textOf(families: MetricFamilies, processText: string, open: boolean): string {
  const text: string[] = [];
  families.render(text, open);
  if (open) text.push(...openLines(processText), "# EOF");
  const own = `${text.join("\n")}${text.length > 0 ? "\n" : ""}`;
  return open ? own : own + processText;
}

/** Converts prom-client's text to OpenMetrics: no empty lines, and counter families without `_total`. */
function openLines(text: string): string[] {
  const lines = text.split("\n").filter((line) => line !== "");
  const counters = new Set(
    lines
      .flatMap((line) => /^# TYPE (\w+)_total counter$/.exec(line)?.slice(1) ?? [])
      .map((name) => `${name}_total`),
  );
  return lines.map((line) => {
    const name = /^# (?:HELP|TYPE) (\w+)/.exec(line)?.[1];
    return name !== undefined && counters.has(name)
      ? line.replace(name, name.slice(0, -"_total".length))
      : line;
  });
}
