// The settings of tracing and of other signals for collectors. Their names are those of the OpenTelemetry specification
// (environment variables of the SDK and of the OTLP exporter). A setting for traces takes precedence over one for all
// signals.
import { fieldNameSource } from "../language/field-name.ts";
import { FormatError, integer, oneOf } from "./formats.ts";
import { parseCertificateFile, parseKeyFile } from "./pem.ts";
import { optional, type Parse, secret, setting, type Setting } from "./setting.ts";

const hour = 3_600_000;
const samplers = {
  always_on: { byParent: false, ratio: 1 },
  always_off: { byParent: false, ratio: 0 },
  traceidratio: { byParent: false, ratio: undefined },
  parentbased_always_on: { byParent: true, ratio: 1 },
  parentbased_always_off: { byParent: true, ratio: 0 },
  parentbased_traceidratio: { byParent: true, ratio: undefined },
} as const;
const protocols = ["http/protobuf", "http/json", "grpc"] as const;
const formats = ["tracecontext", "baggage", "b3", "b3multi", "jaeger"] as const;

const parseEndpoint: Parse<URL> = (text) => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== "http:" && url.protocol !== "https:"))
    throw new FormatError("must be an http:// or https:// URL");
  if (url.username !== "" || url.password !== "")
    throw new FormatError("must be without user and password: OTEL_EXPORTER_OTLP_HEADERS is for those");
  return url;
};

/** Parses `key=value,key=value` with percent-encoded values: the specification's resource attributes and headers. */
function parsePairs(isKey: RegExp): Parse<Readonly<Record<string, string>>> {
  return (text) => {
    const pairs: Record<string, string> = Object.create(null);
    for (const member of text.split(",")) {
      if (member.trim() === "") continue;
      const equals = member.indexOf("=");
      const key = member.slice(0, equals).trim();
      if (equals === -1 || !isKey.test(key))
        throw new FormatError("must be key=value pairs with commas between");
      pairs[key] = decoded(member.slice(equals + 1).trim());
    }
    return pairs;
  };
}

function decoded(value: string): string {
  try {
    const text = decodeURIComponent(value);
    if (!/\p{Cc}/u.test(text)) return text;
  } catch {
    // The error is thrown below.
  }
  throw new FormatError("has a value that is not percent-encoded text of one line");
}

const parsePropagators: Parse<readonly (typeof formats)[number][]> = (text) => {
  const names = text.split(",").map((name) => name.trim());
  const one = oneOf(...formats);
  return names[0] === "none" && names.length === 1 ? [] : names.map((name) => one(name));
};

const parseRatio: Parse<number> = (text) => {
  const ratio = Number(text);
  if (!/^\d{1,3}(\.\d{1,18})?$/.test(text) || ratio > 1)
    throw new FormatError("must be a number from 0 to 1");
  return ratio;
};

const parseSwitch: Parse<boolean> = (text) => oneOf("true", "false")(text) === "true";
const headers = parsePairs(new RegExp(`^${fieldNameSource}$`));

export const otelSettings = {
  otelDisabled: setting(
    "OTEL_SDK_DISABLED",
    "false",
    parseSwitch,
    "Whether nothing is traced: traceparent then goes to the service as it came",
  ),
  otelService: optional(
    "OTEL_SERVICE_NAME",
    (text) => text.slice(0, 256),
    "What spans have as service.name; default: OUTRIGGER_SERVICE",
  ),
  otelResource: setting(
    "OTEL_RESOURCE_ATTRIBUTES",
    "",
    parsePairs(/^[\x21-\x2b\x2d-\x3c\x3e-\x7e]{1,256}$/),
    "Further attributes of all spans: key=value,key=value, percent-encoded",
  ),
  otelPropagators: setting(
    "OTEL_PROPAGATORS",
    "tracecontext,baggage",
    parsePropagators,
    "Formats in which callers' traces are taken in, first that is there: tracecontext, b3, b3multi, jaeger; none",
  ),
  otelExporter: setting(
    "OTEL_TRACES_EXPORTER",
    "otlp",
    oneOf("otlp", "none"),
    "Who gets spans: otlp, or none, and traces are only passed on",
  ),
  otelSampler: setting(
    "OTEL_TRACES_SAMPLER",
    "parentbased_always_on",
    oneOf(...(Object.keys(samplers) as (keyof typeof samplers)[])),
    "Which traces are sent: always_on, always_off, traceidratio, or parentbased_ and one of these; over it counts what a policy says under tracing",
  ),
  otelSamplerArg: optional(
    "OTEL_TRACES_SAMPLER_ARG",
    parseRatio,
    "Share of the traces that traceidratio sends, 0 to 1; default: 1",
  ),
  otelEndpoint: optional(
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    parseEndpoint,
    "Collector; /v1/traces, /v1/metrics or /v1/logs is added over HTTP. Unset: no span is sent",
  ),
  otelMetricsExporter: setting(
    "OTEL_METRICS_EXPORTER",
    "none",
    oneOf("otlp", "none"),
    "Who gets metrics beside the metrics page: otlp or none",
  ),
  otelMetricsIntervalMs: setting(
    "OTEL_METRIC_EXPORT_INTERVAL",
    "60000",
    integer(1, hour),
    "Milliseconds from one sending of metrics to the next",
  ),
  otelMetricsEndpoint: optional(
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    parseEndpoint,
    "Collector of metrics, as it is",
  ),
  otelLogsEndpoint: optional(
    "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
    parseEndpoint,
    "Collector of logs, as it is: for audit records, where OUTRIGGER_AUDIT_SINKS has otlp",
  ),
  otelTracesEndpoint: optional(
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    parseEndpoint,
    "Collector of traces, as it is",
  ),
  otelHeaders: secret(
    "OTEL_EXPORTER_OTLP_HEADERS",
    headers,
    "Fields of requests to the collector: key=value,key=value, percent-encoded",
  ),
  otelTracesHeaders: secret(
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    headers,
    "Further such fields, for traces alone",
  ),
  otelMetricsHeaders: secret(
    "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
    headers,
    "Further such fields, for metrics alone",
  ),
  otelProtocol: setting(
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "http/protobuf",
    oneOf(...protocols),
    "How the collector is spoken to: http/protobuf, http/json or grpc",
  ),
  otelTracesProtocol: optional(
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    oneOf(...protocols),
    "How it is for traces alone",
  ),
  otelMetricsProtocol: optional(
    "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
    oneOf(...protocols),
    "How it is for metrics alone",
  ),
  otelTimeoutMs: setting(
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    "10000",
    integer(1, hour),
    "Milliseconds for one request to the collector",
  ),
  otelMetricsTimeoutMs: optional(
    "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT",
    integer(1, hour),
    "Milliseconds for one request with metrics",
  ),
  otelCompression: setting(
    "OTEL_EXPORTER_OTLP_COMPRESSION",
    "none",
    oneOf("none", "gzip"),
    "How requests to the collector are compressed: none or gzip",
  ),
  otelCa: optional(
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
    parseCertificateFile,
    "CA certificates (PEM file) that the collector's is checked against; unset: the system's",
  ),
  otelCert: optional(
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
    parseCertificateFile,
    "Certificate chain (PEM file) shown to the collector",
  ),
  otelKey: optional(
    "OTEL_EXPORTER_OTLP_CLIENT_KEY",
    parseKeyFile,
    "Private key (PEM file) of that certificate",
  ),
  otelDelayMs: setting(
    "OTEL_BSP_SCHEDULE_DELAY",
    "5000",
    integer(1, hour),
    "Longest time in milliseconds for which a span waits to be sent with others",
  ),
  otelQueueSpans: setting(
    "OTEL_BSP_MAX_QUEUE_SIZE",
    "2048",
    integer(1, 1_000_000),
    "Most spans that wait to be sent; more are dropped and counted",
  ),
  otelBatchSpans: setting(
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    "512",
    integer(1, 100_000),
    "Most spans of one request to the collector",
  ),
} as const satisfies Record<string, Setting<unknown>>;

/** The meaning of the sampler's name and argument. */
export function samplerOf(
  name: keyof typeof samplers,
  argument: number | undefined,
): { readonly byParent: boolean; readonly ratio: number } {
  const { byParent, ratio = argument ?? 1 } = samplers[name];
  return { byParent, ratio };
}
