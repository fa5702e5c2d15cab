// One span, ready to be encoded: what the OpenTelemetry protocol has, as plain data.
import type { Attributes } from "../otlp/attributes.ts";
import type { Rejected } from "../otlp/rejected.ts";

/** `SpanKind` of opentelemetry/proto/trace/v1/trace.proto. */
export const spanKinds = { internal: 1, server: 2, client: 3 } as const;

export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId: string | undefined;
  /** Whether the parent is another process's. */
  readonly isParentRemote: boolean;
  readonly traceState: string | undefined;
  readonly flags: number;
  readonly name: string;
  readonly kind: (typeof spanKinds)[keyof typeof spanKinds];
  /** Epoch milliseconds, whole ones: added to a fraction as a double they would lose a tenth of a microsecond. */
  readonly epochMs: number;
  /** When it began and ended, in milliseconds from there. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly attributes: Attributes;
  /** What went wrong, in a word; undefined = nothing. */
  readonly error: string | undefined;
}

/** Of the field `flags`: the parent is known to be remote, or not. */
export function flagsOf({ flags, isParentRemote, parentId }: Span): number {
  if (parentId === undefined) return flags;
  return flags | 0x1_00 | (isParentRemote ? 0x2_00 : 0);
}

/** Puts spans together to one request of the collector's service. */
export interface SpanEncoder {
  readonly contentType: string;
  /** Spans since `take`. */
  readonly count: number;
  /** Bytes that they take, at least. */
  readonly bytes: number;
  add(span: Span): void;
  /** @returns the request with all of them; they are gone from here */
  take(): Buffer;
  /** What of a request the collector did not take, by its response. */
  rejected(response: Buffer): Rejected | undefined;
}
