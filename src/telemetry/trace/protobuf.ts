// Encodes spans in OTLP's protobuf, with the field numbers of opentelemetry/proto/trace/v1/trace.proto and
// collector/trace/v1/trace_service.proto.
import { type OtlpResource, ProtobufEnvelope, writeAttributes } from "../otlp/attributes.ts";
import { rejectedInProtobuf } from "../otlp/rejected.ts";
import { ProtoWriter } from "../otlp/wire.ts";
import { flagsOf, type Span, type SpanEncoder } from "./span.ts";

/** The method's path, for gRPC. */
export const tracesMethod = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

const scopeSpans = { spans: 2 };
const status = { message: 2, code: 3 };
const statusError = 2;
const fields = {
  traceId: 1,
  spanId: 2,
  traceState: 3,
  parentSpanId: 4,
  name: 5,
  kind: 6,
  start: 7,
  end: 8,
  attributes: 9,
  status: 15,
  flags: 16,
};

export class ProtobufEncoder implements SpanEncoder {
  readonly contentType = "application/x-protobuf";
  count = 0;
  readonly #envelope: ProtobufEnvelope;
  readonly #spans = new ProtoWriter(65_536);
  readonly rejected = rejectedInProtobuf;

  constructor(resource: OtlpResource) {
    this.#envelope = new ProtobufEnvelope(resource);
  }

  get bytes(): number {
    return this.#spans.length;
  }

  add(span: Span): void {
    const writer = this.#spans;
    const start = writer.begin(scopeSpans.spans);
    writer.hex(fields.traceId, span.traceId);
    writer.hex(fields.spanId, span.spanId);
    if (span.traceState !== undefined) writer.string(fields.traceState, span.traceState);
    if (span.parentId !== undefined) writer.hex(fields.parentSpanId, span.parentId);
    writer.string(fields.name, span.name);
    writer.varint(fields.kind, span.kind);
    writer.nanos(fields.start, span.epochMs, span.fromMs);
    writer.nanos(fields.end, span.epochMs, span.toMs);
    writeAttributes(writer, fields.attributes, span.attributes);
    if (span.error !== undefined) {
      const at = writer.begin(fields.status);
      writer.string(status.message, span.error);
      writer.varint(status.code, statusError);
      writer.end(at);
    }
    writer.fixed32(fields.flags, flagsOf(span));
    writer.end(start);
    this.count += 1;
  }

  take(): Buffer {
    this.count = 0;
    return this.#envelope.around(this.#spans.take());
  }
}
