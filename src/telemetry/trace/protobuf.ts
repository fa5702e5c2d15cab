// Spans in the protobuf encoding of the OpenTelemetry protocol: opentelemetry/proto/trace/v1/trace.proto and
// collector/trace/v1/trace_service.proto. Numbers of fields are theirs.
import { ProtoReader, ProtoWriter } from "./wire.ts";
import { type Attributes, flagsOf, type Span, type SpanEncoder, type TraceResource } from "./span.ts";

const request = { resourceSpans: 1 };
const resourceSpans = { resource: 1, scopeSpans: 2 };
const scopeSpans = { scope: 1, spans: 2 };
const scope = { name: 1, version: 2 };
const keyValue = { key: 1, value: 2 };
const anyValue = { string: 1, bool: 2, int: 3, double: 4 };
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
  readonly #resource: Buffer;
  readonly #scope: Buffer;
  readonly #spans = new ProtoWriter(65_536);

  constructor({ attributes, scopeName, scopeVersion }: TraceResource) {
    const writer = new ProtoWriter(1_024);
    writeAttributes(writer, 1, attributes);
    this.#resource = writer.take();
    writer.string(scope.name, scopeName);
    writer.string(scope.version, scopeVersion);
    this.#scope = writer.take();
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
    const spans = this.#spans.take();
    this.count = 0;
    const writer = new ProtoWriter(this.#resource.length + this.#scope.length + spans.length + 64);
    const outer = writer.begin(request.resourceSpans);
    writer.bytes(resourceSpans.resource, this.#resource);
    const inner = writer.begin(resourceSpans.scopeSpans);
    writer.bytes(scopeSpans.scope, this.#scope);
    writer.raw(spans);
    writer.end(inner);
    writer.end(outer);
    return writer.take();
  }

  rejected(response: Buffer): { spans: number; message: string } | undefined {
    const partial = new ProtoReader(response).bytes(1);
    if (partial === undefined) return undefined;
    const spans = new ProtoReader(partial).varint(1) ?? 0;
    const message = new ProtoReader(partial).bytes(2)?.toString() ?? "";
    return spans > 0 || message !== "" ? { spans, message } : undefined;
  }
}

function writeAttributes(writer: ProtoWriter, field: number, attributes: Attributes): void {
  for (let i = 0; i < attributes.length; i += 2) {
    const start = writer.begin(field);
    writer.string(keyValue.key, attributes[i] as string);
    const value = attributes[i + 1];
    const inner = writer.begin(keyValue.value);
    if (typeof value === "string") writer.string(anyValue.string, value);
    else if (typeof value === "boolean") writer.varint(anyValue.bool, value ? 1 : 0);
    else if (Number.isSafeInteger(value) && (value as number) >= 0)
      writer.varint(anyValue.int, value as number);
    else writer.double(anyValue.double, value as number);
    writer.end(inner);
    writer.end(start);
  }
}
