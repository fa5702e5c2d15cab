// Pushes metrics to a collector when OTEL_METRICS_EXPORTER asks for it. The process that governs sends those of all
// workers, merged as on the metrics page, so that each series is sent once.
import type { FamilySnapshot } from "../telemetry/metric-families.ts";
import { type MergedMetrics, mergeSnapshots, type MetricsSnapshot } from "../telemetry/metrics.ts";
import { JsonMetrics, metricsMethod, ProtobufMetrics } from "../telemetry/otlp/metrics.ts";
import { MetricsPusher } from "../telemetry/otlp/metrics-pusher.ts";
import { processFamilies } from "../telemetry/process-families.ts";
import type { DataPlane } from "./governed.ts";
import { carrierOf, collectorOf, resourceOf } from "./otlp.ts";
import type { ProcessContext } from "./process-context.ts";

/** @param data the data plane whose processes are reported @returns undefined when nothing is sent */
export function pushMetrics(
  { config, telemetry, clock }: ProcessContext,
  data: Pick<DataPlane<never>, "metricsSnapshots">,
): MetricsPusher | undefined {
  const { logger, metrics } = telemetry;
  const signal = { endpoint: config.otelMetricsEndpoint, path: "/v1/metrics", grpcPath: metricsMethod };
  const url = collectorOf(config, signal);
  if (config.otelDisabled || config.otelMetricsExporter === "none" || url === undefined) return undefined;
  const protocol = config.otelMetricsProtocol ?? config.otelProtocol;
  const { otelMetricsHeaders: headers, otelMetricsTimeoutMs: timeoutMs } = config;
  const resource = resourceOf(config);
  const encoder = protocol === "http/json" ? new JsonMetrics(resource) : new ProtobufMetrics(resource);
  const { contentType } = encoder;
  return new MetricsPusher({
    encoder,
    carrier: carrierOf(config, url, { ...signal, headers, protocol, contentType, timeoutMs }),
    intervalMs: config.otelMetricsIntervalMs,
    read: async () => familiesOf(config.service, await data.metricsSnapshots()),
    now: () => clock.now(),
    logger,
    counted: metrics.counter(
      "outrigger_metric_points_total",
      "Values of metrics for the collector, by what became of them",
      ["result"],
    ),
  });
}

/** Adds the label `service`, as on the metrics page. */
function familiesOf(service: string, snapshots: readonly MetricsSnapshot[]): FamilySnapshot[] {
  const [only, ...others] = snapshots;
  const { families, process } =
    only !== undefined && others.length === 0 ? only : mergedOf(mergeSnapshots(service, snapshots));
  return [...families, ...processFamilies(process)].map(({ labels, series, ...family }) => ({
    ...family,
    labels: ["service", ...labels],
    series: series.map((each) => ({ ...each, values: [service, ...each.values] })),
  }));
}

function mergedOf({ families, process }: MergedMetrics): MetricsSnapshot {
  return { families: families.snapshot(), process };
}
