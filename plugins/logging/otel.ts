// Writes lines as OTLP JSON, one export request with one record each: the form of OpenTelemetry's file exporter, which
// the collector's `otlpjsonfile` receiver reads. Attributes follow the semantic conventions for HTTP.
import type { Fleet, RouteInfo } from "../../src/plugin-api/contract.ts";
import { type AccessLine, compileMembers, type Member } from "./members.ts";
import type { LoggingOptions } from "./options.ts";
import type { PickedFields, Redaction } from "./redact.ts";
import { levelNames } from "./level.ts";
import { jsonText, createNames, partsOfHost } from "./text.ts";

const nameOf = createNames({
  method: "http.request.method",
  status: "http.response.status_code",
  requestBytes: "http.request.body.size",
  responseBytes: "http.response.body.size",
  route: "http.route",
  path: "url.path",
  clientIp: "client.address",
  userId: "user.id",
  userAgent: "user_agent.original",
  grpcStatus: "rpc.grpc.status_code",
  error: "error.type",
  // The same names as in spans.
  cacheStatus: "outrigger.cache",
  upstreamMs: "outrigger.upstream_wait_ms",
});

/** Maps pino's level numbers to severity numbers of OpenTelemetry's log data model. */
const severities: Readonly<Record<number, number>> = { 30: 9, 40: 13, 50: 17 };

export function compileOtelLine(
  options: LoggingOptions,
  route: RouteInfo,
  fleet: Fleet,
  redaction: Redaction,
): AccessLine {
  const membersOf = compileMembers(options, route, redaction);
  const origin = [text("service.name", fleet.service), text("service.instance.id", fleet.instance)].join(",");
  const start =
    `{"resourceLogs":[{"resource":{"attributes":[${origin}]}` +
    `,"scopeLogs":[{"scope":{"name":"outrigger"},"logRecords":[{"timeUnixNano":"`;
  return function otelLine(exchange, outcome, level, extra) {
    const { scheme, httpVersion } = exchange.request;
    const { trace } = exchange;
    const attributes = [
      text("url.scheme", scheme),
      text("network.protocol.version", httpVersion === "2.0" ? "2" : httpVersion),
      ...membersOf(exchange, outcome, extra).flatMap((member) => attributesOf(member)),
    ];
    const ids =
      trace === undefined
        ? ""
        : `,"traceId":"${trace.traceId}","spanId":"${trace.spanId}","flags":${trace.sampled ? 1 : 0}`;
    return (
      `${start}${Math.round(exchange.startedAt + outcome.durationMs)}000000"` +
      `,"severityNumber":${severities[level] ?? 9},"severityText":"${(levelNames[level] ?? "info").toUpperCase()}"` +
      `,"body":{"stringValue":"request"},"attributes":[${attributes.join(",")}]${ids}}]}]}]}`
    );
  };
}

// Keys need no escaping: names of plugins and of logged fields are plain, too.
const attribute = (key: string, value: string): string => `{"key":"${key}","value":{${value}}}`;
const text = (key: string, value: string): string => attribute(key, `"stringValue":${jsonText(value)}`);

function number(key: string, value: number): string {
  // OTLP JSON writes 64-bit integers as text.
  return attribute(key, Number.isSafeInteger(value) ? `"intValue":"${value}"` : `"doubleValue":${value}`);
}

function attributesOf([name, value]: Member): string[] {
  // These are fields of the record itself.
  if (name === "traceId" || name === "spanId") return [];
  if (name === "status" && value === 0) return [];
  if (name === "host" && typeof value === "string") {
    const { host, port } = partsOfHost(value);
    return [text("server.address", host), ...(port === undefined ? [] : [number("server.port", port)])];
  }
  if (name === "query") return [text("url.query", String(value).slice(1))];
  if (name === "requestHeaders") return headers("http.request.header.", value as PickedFields);
  if (name === "responseHeaders") return headers("http.response.header.", value as PickedFields);
  const key = nameOf(name);
  if (typeof value === "string") return [text(key, value)];
  // Durations are always doubles: otherwise the type would change when a duration happens to be whole.
  if (typeof value === "number")
    return [name.endsWith("Ms") ? attribute(key, `"doubleValue":${value}`) : number(key, value)];
  return value.map(([plugin, ms]) => attribute(`${key}.${plugin}`, `"doubleValue":${ms}`));
}

/** By the convention, the value of a header attribute is a list. */
function headers(prefix: string, fields: PickedFields): string[] {
  return fields.map(([name, value]) =>
    attribute(`${prefix}${name}`, `"arrayValue":{"values":[{"stringValue":${jsonText(value)}}]}`),
  );
}
