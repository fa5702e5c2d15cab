// Tracing, as the environment has it: who begins traces, and where spans go.
import { readFileSync } from "node:fs";
import type { Config } from "../config/config.ts";
import { samplerOf } from "../config/otel.ts";
import type { Telemetry } from "../telemetry/process.ts";
import type { CarrierOptions } from "../telemetry/trace/delivery.ts";
import { SpanExporter } from "../telemetry/trace/exporter.ts";
import { createGrpcCarrier } from "../telemetry/trace/grpc-carrier.ts";
import { createHttpCarrier } from "../telemetry/trace/http-carrier.ts";
import { JsonEncoder } from "../telemetry/trace/json.ts";
import { ProtobufEncoder } from "../telemetry/trace/protobuf.ts";
import { Tracer } from "../telemetry/trace/tracer.ts";
import type { TraceResource } from "../telemetry/trace/span.ts";
import { version } from "../version.ts";

export interface Tracing {
  readonly tracer: Tracer;
  /** Sends what waits, within a second. Never rejects. */
  close(): Promise<void>;
}

const closeLimitMs = 1_000;

/** @returns undefined where nothing is traced */
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
  const url = collectorOf(config);
  if (url === undefined || config.otelExporter === "none") return undefined;
  const protocol = config.otelTracesProtocol ?? config.otelProtocol;
  const encoder =
    protocol === "http/json" ? new JsonEncoder(resourceOf(config)) : new ProtobufEncoder(resourceOf(config));
  const options: CarrierOptions = {
    url,
    headers: { ...config.otelHeaders, ...config.otelTracesHeaders },
    timeoutMs: config.otelTimeoutMs,
    gzip: config.otelCompression === "gzip",
    contentType: encoder.contentType,
    tls: { ca: fileOf(config.otelCa), cert: fileOf(config.otelCert), key: fileOf(config.otelKey) },
  };
  return new SpanExporter({
    encoder,
    carrier: protocol === "grpc" ? createGrpcCarrier(options) : createHttpCarrier(options),
    maxQueueSpans: config.otelQueueSpans,
    maxBatchSpans: Math.min(config.otelBatchSpans, config.otelQueueSpans),
    delayMs: config.otelDelayMs,
    logger,
    spans: metrics.counter("outrigger_trace_spans_total", "Spans, by what became of them", ["result"]),
  });
}

/** Over HTTP the endpoint of all signals gets the path of traces behind its own. */
function collectorOf(config: Config): URL | undefined {
  const { otelTracesEndpoint, otelEndpoint } = config;
  if (otelTracesEndpoint !== undefined || otelEndpoint === undefined) return otelTracesEndpoint;
  return new URL(`${otelEndpoint.href.replace(/\/$/, "")}/v1/traces`);
}

function resourceOf(config: Config): TraceResource {
  const attributes = {
    "service.name": config.otelService ?? config.service,
    "service.instance.id": config.instance,
    "telemetry.sdk.name": "outrigger",
    "telemetry.sdk.language": "nodejs",
    "telemetry.sdk.version": version,
    ...(config.region !== undefined && { "cloud.region": config.region }),
    ...config.otelResource,
    ...(config.otelService !== undefined && { "service.name": config.otelService }),
  };
  return {
    attributes: Object.entries(attributes).flat(),
    scopeName: "outrigger",
    scopeVersion: version,
  };
}

function fileOf(path: string | undefined): string | undefined {
  return path === undefined ? undefined : readFileSync(path, "utf8");
}
