// What an exchange tells the trace that it is part of, while it goes on.
import type { Fields } from "../plugin-api/fields.ts";
import type { Exchange, Outcome, TraceIds } from "../plugin-api/exchange.ts";

export interface LiveTrace extends TraceIds {
  /** A hook took long, or waited for something. Milliseconds on the monotonic clock. */
  hookRan(plugin: string, phase: string, fromMono: number, toMono: number, failed: boolean): void;
  /** The service is asked: it is told of the span that asks. @param retried why it is asked again */
  sent(fields: Fields, nowMono: number, retried?: string): void;
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
  /** @param rules of the exchange's route */
  begin(exchange: Exchange, rules?: TracingRules): LiveTrace;
}
