// Encodes spans in OTLP's JSON (ProtoJSON, with ids in hex).
import { JsonEnvelope, keyValues, nanosText, type OtlpResource } from "../otlp/attributes.ts";
import { rejectedInJson } from "../otlp/rejected.ts";
import { flagsOf, type Span, type SpanEncoder } from "./span.ts";

export class JsonEncoder implements SpanEncoder {
  readonly contentType = "application/json";
  bytes = 0;
  #spans: string[] = [];
  readonly #envelope: JsonEnvelope;
  readonly rejected = rejectedInJson;

  constructor(resource: OtlpResource) {
    this.#envelope = new JsonEnvelope(resource, "Spans", "spans");
  }

  get count(): number {
    return this.#spans.length;
  }

  add(span: Span): void {
    const text = JSON.stringify({
      traceId: span.traceId,
      spanId: span.spanId,
      ...(span.parentId !== undefined && { parentSpanId: span.parentId }),
      ...(span.traceState !== undefined && { traceState: span.traceState }),
      flags: flagsOf(span),
      name: span.name,
      kind: span.kind,
      startTimeUnixNano: nanosText(span.epochMs, span.fromMs),
      endTimeUnixNano: nanosText(span.epochMs, span.toMs),
      attributes: keyValues(span.attributes),
      ...(span.error !== undefined && { status: { code: 2, message: span.error } }),
    });
    this.bytes += text.length;
    this.#spans.push(text);
  }

  take(): Buffer {
    const body = this.#envelope.around(this.#spans);
    this.#spans = [];
    this.bytes = 0;
    return body;
  }
}
