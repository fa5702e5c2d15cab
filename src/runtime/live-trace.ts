// What an exchange tells the trace that it is part of, while it goes on.
import type { Fields } from "../plugin-api/fields.ts";
import type { Exchange, Outcome, TraceIds } from "../plugin-api/exchange.ts";

/** A call that a plugin made. */
export interface TracedCall {
  /** By the conventions for its kind. */
  readonly name: string;
  /** key, value, key, value …: put together for those that somebody gets to see. */
  readonly attributes: () => readonly (string | number | boolean)[];
  /** Milliseconds on the monotonic clock. */
  readonly fromMono: number;
  readonly toMono: number;
  /** In a word; undefined = it went well. */
  readonly error: string | undefined;
}

export interface LiveTrace extends TraceIds {
  /** Whether somebody may get to see the calls that its hooks wait for. */
  readonly takesCalls: boolean;
  /** Whether somebody can look it up once it ended so. */
  keeps(outcome: Outcome): boolean;
  /** Something that a hook asked for has answered, or has not in time. */
  called(call: TracedCall): void;
  /** A hook took long, or waited for something. Milliseconds on the monotonic clock. */
  hookRan(plugin: string, phase: string, fromMono: number, toMono: number, failed: boolean): void;
  /** The service is asked: it is told of the span that asks. @param retried why it is asked again, and after which pause */
  sent(
    fields: Fields,
    nowMono: number,
    retried?: { readonly reason: string; readonly pausedMs: number },
  ): void;
  /** The response leaves for the client. */
  answered(fields: Fields): void;
  ended(exchange: Exchange, outcome: Outcome): void;
}

/** What a policy says of a route, over what the environment says. */
export interface TracingRules {
  /** Share of the traces that is recorded, whatever a caller's flag says of traces that begin here. */
  readonly sampleRatio?: number | undefined;
  /** Most traces a second that this sidecar records by their head. */
  readonly maxPerSecond?: number | undefined;
  /** Whether a request that failed (5xx, or broken off) is recorded whatever was decided at its head. */
  readonly keepErrors?: boolean | undefined;
  /** Likewise one that took longer. */
  readonly keepSlowerThanMs?: number | undefined;
  /** Whether the client is told the trace (`traceresponse`). */
  readonly traceResponse?: boolean | undefined;
}

export interface ExchangeTracer {
  /**
   * @param rules of the exchange's route
   * @param protocol what its service is spoken to in: `http1`, `h2c`, `h2`, or `auto`, HTTP/2 for gRPC alone
   */
  begin(exchange: Exchange, rules?: TracingRules, protocol?: string): LiveTrace;
}
