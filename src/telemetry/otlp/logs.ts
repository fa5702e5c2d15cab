// Encodes lines as OTLP log records (opentelemetry/proto/logs/v1/logs.proto). The record's body is the unchanged line.
import {
  type Attributes,
  JsonEnvelope,
  keyValues,
  nanosText,
  type OtlpResource,
  ProtobufEnvelope,
  writeAttributes,
} from "./attributes.ts";
import { ProtoWriter } from "./wire.ts";

/** The method's path, for gRPC. */
export const logsMethod = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

export interface LogRecord {
  /** Epoch milliseconds. */
  readonly atMs: number;
  readonly observedMs: number;
  readonly event: string;
  readonly body: string;
  readonly attributes: Attributes;
  /** 32 hex digits. */
  readonly traceId: string | undefined;
}

export interface LogsEncoder {
  readonly contentType: string;
  encode(records: readonly LogRecord[]): Buffer;
}

const scopeLogs = { records: 2 };
const fields = {
  time: 1,
  severity: 2,
  severityText: 3,
  body: 5,
  attributes: 6,
  traceId: 9,
  observed: 11,
  event: 12,
};
const stringValue = 1;
const info = { number: 9, text: "INFO" } as const;

export class ProtobufLogs implements LogsEncoder {
  readonly contentType = "application/x-protobuf";
  readonly #envelope: ProtobufEnvelope;

  constructor(resource: OtlpResource) {
    this.#envelope = new ProtobufEnvelope(resource);
  }

  encode(records: readonly LogRecord[]): Buffer {
    const writer = new ProtoWriter(65_536);
    for (const { atMs, observedMs, event, body, attributes, traceId } of records) {
      const start = writer.begin(scopeLogs.records);
      writer.nanos(fields.time, atMs, 0);
      writer.nanos(fields.observed, observedMs, 0);
      writer.varint(fields.severity, info.number);
      writer.string(fields.severityText, info.text);
      const text = writer.begin(fields.body);
      writer.string(stringValue, body);
      writer.end(text);
      writeAttributes(writer, fields.attributes, attributes);
      if (traceId !== undefined) writer.hex(fields.traceId, traceId);
      writer.string(fields.event, event);
      writer.end(start);
    }
    return this.#envelope.around(writer.take());
  }
}

export class JsonLogs implements LogsEncoder {
  readonly contentType = "application/json";
  readonly #envelope: JsonEnvelope;

  constructor(resource: OtlpResource) {
    this.#envelope = new JsonEnvelope(resource, "Logs", "logRecords");
  }

  encode(records: readonly LogRecord[]): Buffer {
    return this.#envelope.around(
      records.map(({ atMs, observedMs, event, body, attributes, traceId }) =>
        JSON.stringify({
          timeUnixNano: nanosText(atMs, 0),
          observedTimeUnixNano: nanosText(observedMs, 0),
          severityNumber: info.number,
          severityText: info.text,
          body: { stringValue: body },
          attributes: keyValues(attributes),
          ...(traceId !== undefined && { traceId }),
          eventName: event,
        }),
      ),
    );
  }
}
