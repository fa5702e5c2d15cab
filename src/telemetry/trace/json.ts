// Spans in the JSON encoding of the OpenTelemetry protocol (ProtoJSON, with ids in hex).
import { type Attributes, flagsOf, type Span, type SpanEncoder, type TraceResource } from "./span.ts";

export class JsonEncoder implements SpanEncoder {
  readonly contentType = "application/json";
  bytes = 0;
  #spans: string[] = [];
  readonly #head: string;

  constructor({ attributes, scopeName, scopeVersion }: TraceResource) {
    const scope = JSON.stringify({ name: scopeName, version: scopeVersion });
    this.#head = `{"resourceSpans":[{"resource":{"attributes":${JSON.stringify(keyValues(attributes))}},"scopeSpans":[{"scope":${scope},"spans":[`;
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
      startTimeUnixNano: nanos(span.epochMs, span.fromMs),
      endTimeUnixNano: nanos(span.epochMs, span.toMs),
      attributes: keyValues(span.attributes),
      ...(span.error !== undefined && { status: { code: 2, message: span.error } }),
    });
    this.bytes += text.length;
    this.#spans.push(text);
  }

  take(): Buffer {
    const text = `${this.#head}${this.#spans.join(",")}]}]}]}`;
    this.#spans = [];
    this.bytes = 0;
    return Buffer.from(text);
  }

  rejected(response: Buffer): { spans: number; message: string } | undefined {
    try {
      const { partialSuccess } = Object(JSON.parse(response.toString())) as { partialSuccess?: unknown };
      const { rejectedSpans = 0, errorMessage = "" } = Object(partialSuccess) as Record<string, unknown>;
      const spans = Number(rejectedSpans);
      if (!(spans > 0) && errorMessage === "") return undefined;
      return { spans: spans > 0 ? spans : 0, message: String(errorMessage) };
    } catch {
      return undefined;
    }
  }
}

function keyValues(attributes: Attributes): unknown[] {
  const list: unknown[] = [];
  for (let i = 0; i < attributes.length; i += 2) {
    const value = attributes[i + 1];
    list.push({ key: attributes[i], value: anyValue(value) });
  }
  return list;
}

function anyValue(value: Attributes[number] | undefined): Record<string, unknown> {
  if (typeof value === "boolean") return { boolValue: value };
  if (typeof value === "number") {
    return Number.isSafeInteger(value) ? { intValue: String(value) } : { doubleValue: value };
  }
  return { stringValue: value };
}

/** Nanoseconds since the epoch as digits: a double would not hold them. */
function nanos(epochMs: number, offsetMs: number): string {
  const offsetNs = Math.round(offsetMs * 1e6);
  const ms = epochMs + Math.floor(offsetNs / 1e6);
  return `${ms}${String(offsetNs - Math.floor(offsetNs / 1e6) * 1e6).padStart(6, "0")}`;
}
