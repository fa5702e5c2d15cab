// All metrics of one process: families of our own beside prom-client's process metrics, as one Prometheus text; or
// those of several processes as one.
import { collectDefaultMetrics, Registry } from "prom-client";
import { z } from "zod";
import type { Metrics } from "../plugin-api/telemetry.ts";
import { MetricFamilies, familySnapshot } from "./metric-families.ts";
import { Buckets, CounterChild, GaugeChild, HistogramChild } from "./metric-family.ts";

export interface MetricsOptions {
  /** Value of the `service` label of every series. */
  readonly service: string;
  /** Value of the `worker` label of the process metrics; none when one process is all there is. */
  readonly worker?: string | undefined;
  /** Most series of one family; the rest is counted together. */
  readonly maxSeries?: number;
  /** A metric has so many series; called once for each. */
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

/** All metrics of a process as another one takes them. */
export const metricsSnapshot = z.strictObject({
  families: z.array(familySnapshot),
  /** prom-client's text: a block a metric. */
  process: z.string(),
});

export type MetricsSnapshot = z.output<typeof metricsSnapshot>;

export interface MetricsRegistry extends Metrics {
  /** All metrics in the Prometheus text format 0.0.4. @param open in OpenMetrics 1.0 instead, with exemplars */
  render(open?: boolean): Promise<string>;
  /** Runs before every `render`: sets gauges that are only worth computing when somebody looks. */
  onRender(update: () => void): void;
  snapshot(): Promise<MetricsSnapshot>;
  /** A series of what is there no more shows no more, and makes room for another. */
  forget(name: string, values: readonly string[]): void;
}

export interface MergedMetrics {
  readonly families: MetricFamilies;
  /** prom-client's text. */
  readonly process: string;
}

/** Seconds; from a hit in the cache to a slow upstream. */
const durationBuckets: readonly number[] = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];

/** Most series of one family, unless somebody says otherwise. */
export const defaultMaxSeries = 1000;

export function createMetrics({
  service,
  worker,
  maxSeries = defaultMaxSeries,
  onFolded,
}: MetricsOptions): MetricsRegistry {
  const processRegistry = new Registry();
  processRegistry.setDefaultLabels({ service, ...(worker === undefined ? {} : { worker }) });
  // The event loop's delay is sampled by a timer; at the default 10 ms it is a tenth of an idle sidecar's work.
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
 * Those of several processes as one: counters and histograms are sums, gauges what their family says, and every process
 * keeps its own process metrics.
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
      // The format wants all samples of a metric in one group, behind its two lines of comment.
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

/** They as one text. */
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

/** prom-client's text as OpenMetrics has it: no empty line, and families of counters without `_total`. */
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
