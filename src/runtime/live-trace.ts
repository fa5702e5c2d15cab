// Defines what an exchange reports to its trace while it goes on.
import type { Fields } from "../plugin-api/fields.ts";
import type { Exchange, Outcome, TraceIds } from "../plugin-api/exchange.ts";

/** A call that a plugin made. */
export interface TracedCall {
  /** Span name, by the semantic conventions for this kind of call. */
  readonly name: string;
  /** key, value, key, value …: computed only for traces that somebody gets to see. */
  readonly attributes: () => readonly (string | number | boolean)[];
  /** Milliseconds on the monotonic clock. */
  readonly fromMono: number;
  readonly toMono: number;
  /** A word for what went wrong; undefined = the call succeeded. */
  readonly error: string | undefined;
}

export interface LiveTrace extends TraceIds {
  /** Whether calls that hooks wait for may be shown to somebody later. */
  readonly takesCalls: boolean;
  /** Whether the trace can be looked up afterwards if the exchange ended with this outcome. */
  keeps(outcome: Outcome): boolean;
  /** A call made by a hook was answered or timed out. */
  called(call: TracedCall): void;
  /** A hook took long or returned a promise. Times are milliseconds on the monotonic clock. */
  hookRan(plugin: string, phase: string, fromMono: number, toMono: number, failed: boolean): void;
  /**
   * The request is sent to the service, with the sending span in its fields.
   * @param retried why it is sent again, and after which pause
   */
  sent(
    fields: Fields,
    nowMono: number,
    retried?: { readonly reason: string; readonly pausedMs: number },
  ): void;
  /** The response leaves for the client. */
  answered(fields: Fields): void;
  ended(exchange: Exchange, outcome: Outcome): void;
}

/** A policy's tracing rules for a route. They override the settings of the environment. */
export interface TracingRules {
  /** Share of traces (0 to 1) to record, whatever a caller's flag says of traces that begin here. */
  readonly sampleRatio?: number | undefined;
  /** Most traces per second that this sidecar records by a decision at the head. */
  readonly maxPerSecond?: number | undefined;
  /** Whether to record a request that failed (5xx, or broken off), whatever was decided at its head. */
  readonly keepErrors?: boolean | undefined;
  /** Likewise a request that took longer than this. */
  readonly keepSlowerThanMs?: number | undefined;
  /** Whether the client gets the trace ID in the `traceresponse` field. */
  readonly traceResponse?: boolean | undefined;
}

export interface ExchangeTracer {
  /**
   * @param rules of the exchange's route
   * @param protocol spoken to the service: `http1`, `h2c`, `h2`, or `auto` (HTTP/2 for gRPC only)
   */
  begin(exchange: Exchange, rules?: TracingRules, protocol?: string): LiveTrace;
}
