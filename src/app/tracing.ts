// Creates tracing from the settings: who starts traces, and where spans are sent.
import type { Config } from "../config/config.ts";
import { samplerOf } from "../config/otel.ts";
import type { Telemetry } from "../telemetry/process.ts";
import { SpanExporter } from "../telemetry/trace/exporter.ts";
import { JsonEncoder } from "../telemetry/trace/json.ts";
import { ProtobufEncoder, tracesMethod } from "../telemetry/trace/protobuf.ts";
import { Tracer } from "../telemetry/trace/tracer.ts";
import { carrierOf, collectorOf, resourceOf } from "./otlp.ts";

export interface Tracing {
  readonly tracer: Tracer;
  /** Sends the waiting spans, within a second. Never rejects. */
  close(): Promise<void>;
}

const closeLimitMs = 1_000;

/** @returns undefined when tracing is off */
export function createTracing(config: Config, { logger, metrics }: Telemetry): Tracing | undefined {
  if (config.otelDisabled) return undefined;
  const exporter = exporterOf(config, { logger, metrics });
  const tracer = new Tracer({
    propagators: config.otelPropagators,
    sampler: samplerOf(config.otelSampler, config.otelSamplerArg),
    sink: exporter,
    droppedBaggage: metrics.counter(
      "outrigger_trace_baggage_dropped_total",
      "Requests whose baggage was over 8,192 bytes or 64 members and went no further",
    )(),
  });
  return { tracer, close: async () => exporter?.close(closeLimitMs) };
}

function exporterOf(
  config: Config,
  { logger, metrics }: Pick<Telemetry, "logger" | "metrics">,
): SpanExporter | undefined {
  const protocol = config.otelTracesProtocol ?? config.otelProtocol;
  const signal = { endpoint: config.otelTracesEndpoint, path: "/v1/traces", grpcPath: tracesMethod };
  const url = collectorOf(config, signal);
  if (url === undefined || config.otelExporter === "none") return undefined;
  const resource = resourceOf(config);
  const encoder = protocol === "http/json" ? new JsonEncoder(resource) : new ProtobufEncoder(resource);
  const { contentType } = encoder;
  return new SpanExporter({
    encoder,
    carrier: carrierOf(config, url, { ...signal, headers: config.otelTracesHeaders, protocol, contentType }),
    maxQueueSpans: config.otelQueueSpans,
    maxBatchSpans: Math.min(config.otelBatchSpans, config.otelQueueSpans),
    delayMs: config.otelDelayMs,
    logger,
    counted: metrics.counter("outrigger_trace_spans_total", "Spans, by what became of them", ["result"]),
  });
}
