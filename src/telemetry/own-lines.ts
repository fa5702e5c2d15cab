// Writes lines of the sidecar's own log in the formats `ecs` and `otel`. The fields have been cleaned before.
import type { LogFormat } from "../plugin-api/telemetry.ts";

/** Members that every line has. */
export interface LineOrigin {
  readonly service: string;
  readonly instance: string;
  /** Which of several processes writes the line. */
  readonly worker?: string | undefined;
}

export type OwnLevel = "debug" | "info" | "warn" | "error";
/** @param fields plain data @returns the line without its line end */
export type OwnLine = (
  level: OwnLevel,
  nowMs: number,
  fields: Readonly<Record<string, unknown>>,
  message: string,
) => string;

/** @returns undefined for formats that pino writes: `json`, and `clf`, which has no form for such lines */
export function ownLineOf(format: LogFormat, origin: LineOrigin): OwnLine | undefined {
  if (format === "ecs") return ecsLine(origin);
  return format === "otel" ? otelLine(origin) : undefined;
}

interface ShownError {
  readonly name?: unknown;
  readonly message?: unknown;
  readonly stack?: unknown;
  readonly code?: unknown;
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Separates the error from the other fields: both formats have names for its parts. */
function parted(fields: Readonly<Record<string, unknown>>) {
  const { err, ...rest } = fields;
  const error: ShownError = isObject(err) ? err : { message: err };
  return { error, rest };
}

/** The fields go into one object, so that a data view need not know each of them. */
function ecsLine({ service, instance, worker }: LineOrigin): OwnLine {
  return (level, nowMs, fields, message) => {
    const { error, rest } = parted(fields);
    return JSON.stringify({
      "@timestamp": new Date(nowMs).toISOString(),
      "log.level": level,
      message,
      "ecs.version": "8.11.0",
      "service.name": service,
      "service.node.name": instance,
      "outrigger.worker": worker,
      "error.type": error.name,
      "error.message": error.message,
      "error.code": error.code,
      "error.stack_trace": error.stack,
      "outrigger.fields": Object.keys(rest).length === 0 ? undefined : rest,
    });
  };
}

/** Severity numbers of OpenTelemetry's log data model. */
const severityNumbers: Readonly<Record<OwnLevel, number>> = { debug: 5, info: 9, warn: 13, error: 17 };

function otelLine({ service, instance, worker }: LineOrigin): OwnLine {
  const resource = attributes({
    "service.name": service,
    "service.instance.id": instance,
    "outrigger.worker": worker,
  });
  return (level, nowMs, fields, message) => {
    const { error, rest } = parted(fields);
    const own = Object.fromEntries(Object.entries(rest).map(([name, value]) => [`outrigger.${name}`, value]));
    const record = {
      timeUnixNano: `${nowMs}000000`,
      severityNumber: severityNumbers[level],
      severityText: level.toUpperCase(),
      body: { stringValue: message },
      attributes: attributes({
        "exception.type": error.name,
        "exception.message": error.message,
        "exception.stacktrace": error.stack,
        "error.type": error.code,
        ...own,
      }),
    };
    return JSON.stringify({
      resourceLogs: [
        {
          resource: { attributes: resource },
          scopeLogs: [{ scope: { name: "outrigger" }, logRecords: [record] }],
        },
      ],
    });
  };
}

function attributes(values: Readonly<Record<string, unknown>>): object[] {
  return Object.entries(values).flatMap(([key, value]) =>
    value === undefined || value === null ? [] : [{ key, value: anyValue(value) }],
  );
}

/** OTLP's AnyValue in JSON; 64-bit integers are written as text. */
function anyValue(value: unknown): object {
  if (typeof value === "boolean") return { boolValue: value };
  if (typeof value === "number" && Number.isFinite(value))
    return Number.isSafeInteger(value) ? { intValue: String(value) } : { doubleValue: value };
  if (Array.isArray(value)) return { arrayValue: { values: value.map(anyValue) } };
  if (isObject(value) && !(value instanceof Date)) return { kvlistValue: { values: attributes(value) } };
  return { stringValue: value instanceof Date ? value.toISOString() : String(value) };
}
