// The spans of one exchange: its own, one for each time the service was asked, one for each hook that took over a
// millisecond or waited for something, and one for each call that such a hook waited for. Until it is over only what
// cannot be told later is kept; then it is settled whether anybody gets to see it.
import type { Exchange, Outcome } from "../../plugin-api/exchange.ts";
import { errorKinds } from "../../plugin-api/errors.ts";
import type { Fields } from "../../plugin-api/fields.ts";
import type { LiveTrace, TracedCall, TracingRules } from "../../runtime/live-trace.ts";
import { type RemoteParent, sampledFlag, traceparent } from "./context.ts";
import { newSpanId } from "./ids.ts";
import {
  methodName,
  requestAttributes,
  resendAttributes,
  serviceFailure,
  upstreamAttributes,
} from "./attributes.ts";
import { type Span, spanKinds } from "./span.ts";

/** Of hooks, of calls and of tries of one exchange; more are not told of. */
const maxParts = 64;

/** A hook that ran: everything but the ids. */
interface HookPart {
  readonly name: string;
  readonly plugin: string;
  readonly phase: string;
  readonly fromMono: number;
  readonly toMono: number;
  readonly failed: boolean;
}

/** The service was asked, in vain. */
interface Try {
  readonly spanId: string;
  readonly fromMono: number;
  readonly toMono: number;
  /** What became of it. */
  readonly failure: string;
}

/** How a try ended. */
interface TryEnd {
  readonly ends: number;
  /** Of the last one. */
  readonly outcome: Outcome | undefined;
  /** How many there were before it. */
  readonly resends: number;
  readonly error: string | undefined;
}

interface Sink {
  add(span: Span): void;
}

export interface TraceParts {
  readonly traceId: string;
  readonly parent: RemoteParent | undefined;
  /** What the service is told beside it; and whether the request came with any. */
  readonly state: string | undefined;
  readonly hadState: boolean;
  readonly flags: number;
  readonly rules: TracingRules;
  /** What the service is spoken to in: `http1`, `h2c`, `h2`, or `auto`. */
  readonly protocol: string | undefined;
  /** Where spans go; undefined = nowhere. */
  readonly sink: Sink | undefined;
}

export class ExchangeTrace implements LiveTrace {
  readonly traceId: string;
  #spanId: string | undefined = undefined;
  readonly #parts: TraceParts;
  #hooks: HookPart[] | undefined = undefined;
  #calls: TracedCall[] | undefined = undefined;
  #sentId: string | undefined = undefined;
  #sentMono = 0;
  /** Those before the last. */
  #failedTries: Try[] | undefined = undefined;
  #isOver = false;

  constructor(parts: TraceParts) {
    this.traceId = parts.traceId;
    this.#parts = parts;
  }

  /** Made when somebody asks. */
  get spanId(): string {
    return (this.#spanId ??= newSpanId());
  }

  get sampled(): boolean {
    return (this.#parts.flags & sampledFlag) !== 0;
  }

  hookRan(plugin: string, phase: string, fromMono: number, toMono: number, failed: boolean): void {
    if (this.#parts.sink === undefined) return;
    this.#hooks ??= [];
    if (this.#hooks.length < maxParts)
      this.#hooks.push({ name: `${plugin}.${phase}`, plugin, phase, fromMono, toMono, failed });
  }

  get takesCalls(): boolean {
    const { sink, rules } = this.#parts;
    if (sink === undefined || this.#isOver) return false;
    return this.sampled || rules.keepErrors !== false || rules.keepSlowerThanMs !== undefined;
  }

  called(call: TracedCall): void {
    // What goes on in the background of a hook that ended, a connection that it opened say, may tell of more for hours.
    if (this.#isOver) return;
    this.#calls ??= [];
    if (this.#calls.length < maxParts) this.#calls.push(call);
  }

  sent(fields: Fields, nowMono: number, retried?: Parameters<LiveTrace["sent"]>[2]): void {
    const { flags, state } = this.#parts;
    if (this.#sentId !== undefined) {
      this.#failedTries ??= [];
      if (this.#failedTries.length < maxParts)
        this.#failedTries.push({
          spanId: this.#sentId,
          fromMono: this.#sentMono,
          toMono: nowMono - (retried?.pausedMs ?? 0),
          failure: retried?.reason ?? "retried",
        });
    }
    this.#sentId = newSpanId();
    this.#sentMono = nowMono;
    fields.set("traceparent", traceparent(this.traceId, this.#sentId, flags));
    if (state !== undefined) fields.set("tracestate", state);
    else if (this.#parts.hadState) fields.delete("tracestate");
  }

  answered(fields: Fields): void {
    if (this.#parts.rules.traceResponse === true)
      fields.set("traceresponse", traceparent(this.traceId, this.spanId, this.#parts.flags));
  }

  ended(exchange: Exchange, outcome: Outcome): void {
    const { sink } = this.#parts;
    if (sink !== undefined && this.keeps(outcome)) this.#tell(sink, exchange, outcome);
    this.#isOver = true;
    this.#hooks = undefined;
    this.#calls = undefined;
  }

  #tell(sink: Sink, exchange: Exchange, outcome: Outcome): void {
    const { parent } = this.#parts;
    const { startedAt: epochMs, startedMono } = exchange;
    sink.add({
      ...this.#common(epochMs),
      spanId: this.spanId,
      parentId: parent?.spanId,
      isParentRemote: parent !== undefined,
      name: `${methodName(exchange.request.method)} ${exchange.route.pattern}`,
      kind: spanKinds.server,
      fromMs: 0,
      toMs: outcome.durationMs,
      attributes: requestAttributes(exchange, outcome),
      error: errorOf(outcome),
    });
    const failed = this.#failedTries ?? [];
    for (const [resends, each] of failed.entries()) {
      const ends = each.toMono - startedMono;
      sink.add(this.#tryOf(each, exchange, { ends, outcome: undefined, resends, error: each.failure }));
    }
    if (this.#sentId !== undefined) {
      const last = { spanId: this.#sentId, fromMono: this.#sentMono };
      const ends = outcome.durationMs;
      const resends = failed.length;
      sink.add(
        this.#tryOf(last, exchange, {
          ends,
          outcome,
          resends,
          error: errorOf(outcome) ?? serviceFailure(outcome),
        }),
      );
    }
    for (const hook of this.#hooks ?? []) this.#addHook(sink, hook, exchange);
  }

  #addHook(sink: Sink, hook: HookPart, { startedAt, startedMono }: Exchange): void {
    const hookSpan = {
      ...this.#child(startedAt, newSpanId()),
      name: hook.name,
      kind: spanKinds.internal,
      fromMs: hook.fromMono - startedMono,
      toMs: hook.toMono - startedMono,
      attributes: ["outrigger.plugin", hook.plugin, "outrigger.phase", hook.phase],
      error: hook.failed ? "plugin_failed" : undefined,
    };
    sink.add(hookSpan);
    for (const { fromMono, toMono, name, attributes, error } of this.#calls ?? []) {
      // One hook of an exchange runs at a time; what none of them waited for is not this request's time.
      if (fromMono < hook.fromMono || toMono > hook.toMono) continue;
      sink.add({
        ...this.#child(startedAt, newSpanId()),
        parentId: hookSpan.spanId,
        name,
        kind: spanKinds.client,
        fromMs: fromMono - startedMono,
        toMs: toMono - startedMono,
        attributes: attributes(),
        error,
      });
    }
  }

  keeps(outcome: Outcome): boolean {
    if (this.sampled) return true;
    const { sink, rules } = this.#parts;
    if (sink === undefined) return false;
    const { keepErrors = true, keepSlowerThanMs } = rules;
    if (keepErrors && errorOf(outcome) !== undefined) return true;
    return keepSlowerThanMs !== undefined && outcome.durationMs > keepSlowerThanMs;
  }

  #tryOf(
    { spanId, fromMono }: Pick<Try, "spanId" | "fromMono">,
    exchange: Exchange,
    { ends, outcome, resends, error }: TryEnd,
  ): Span {
    const fromMs = fromMono - exchange.startedMono;
    return {
      ...this.#child(exchange.startedAt, spanId),
      name: methodName(exchange.request.method),
      kind: spanKinds.client,
      fromMs,
      toMs: Math.max(ends, fromMs),
      attributes: [
        ...upstreamAttributes(exchange, outcome, this.#parts.protocol),
        ...resendAttributes(resends, outcome === undefined ? error : undefined),
      ],
      error,
    };
  }

  #child(epochMs: number, spanId: string) {
    return { ...this.#common(epochMs), spanId, parentId: this.spanId, isParentRemote: false };
  }

  #common(epochMs: number) {
    const { flags, state } = this.#parts;
    return { traceId: this.traceId, traceState: state, flags, epochMs };
  }
}

/** Of a server: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS (conventions for gRPC). */
const grpcFaults = new Set([2, 4, 12, 13, 14, 15]);

function errorOf({ status, error, end, grpcStatus }: Outcome): string | undefined {
  if (error !== undefined && errorKinds[error.code].status >= 500) return error.code;
  if (status >= 500) return String(status);
  if (grpcStatus !== undefined && grpcFaults.has(grpcStatus)) return `grpc ${grpcStatus}`;
  return end === "failed" || end === "upstream-aborted" ? end : undefined;
}
