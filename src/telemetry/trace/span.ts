// One finished span as plain data, with the fields of the OpenTelemetry protocol, and the interface of its encoders.
import type { Attributes } from "../otlp/attributes.ts";
import type { Rejected } from "../otlp/rejected.ts";

/** `SpanKind` of opentelemetry/proto/trace/v1/trace.proto. */
export const spanKinds = { internal: 1, server: 2, client: 3 } as const;

export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId: string | undefined;
  /** Whether the parent span belongs to another process. */
  readonly isParentRemote: boolean;
  readonly traceState: string | undefined;
  readonly flags: number;
  readonly name: string;
  readonly kind: (typeof spanKinds)[keyof typeof spanKinds];
  /** Epoch milliseconds, an integer: adding the fraction to it in one double would lose a tenth of a microsecond. */
  readonly epochMs: number;
  /** Begin and end, in milliseconds from `epochMs`. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly attributes: Attributes;
  /** What went wrong, as a short code; undefined = nothing. */
  readonly error: string | undefined;
}

/** The field `flags`: trace flags plus whether the parent is remote. */
export function flagsOf({ flags, isParentRemote, parentId }: Span): number {
  if (parentId === undefined) return flags;
  return flags | 0x1_00 | (isParentRemote ? 0x2_00 : 0);
}

/** Encodes spans into one request to the collector. */
export interface SpanEncoder {
  readonly contentType: string;
  /** Spans added since the last `take`. */
  readonly count: number;
  /** Bytes of the spans, at least. */
  readonly bytes: number;
  add(span: Span): void;
  /** @returns the request with all spans; the encoder is then empty */
  take(): Buffer;
  /** The items that the collector did not take, from its response; undefined = none. */
  rejected(response: Buffer): Rejected | undefined;
}
