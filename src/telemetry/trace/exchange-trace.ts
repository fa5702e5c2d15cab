// Collects the spans of one exchange: its own, one for each try at the service, one for each hook that took over a
// millisecond or waited, and one for each call that such a hook waited for. Until the end only data that cannot be
// recovered later is kept. Then it is decided whether the trace is exported.
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

/** Bound on hooks, on calls and on failed tries of one exchange; more are not recorded. */
const maxParts = 64;

/** A hook that ran; it gets its span id at the end. */
interface HookPart {
  readonly name: string;
  readonly plugin: string;
  readonly phase: string;
  readonly fromMono: number;
  readonly toMono: number;
  readonly failed: boolean;
}

/** A try at the service that failed. */
interface Try {
  readonly spanId: string;
  readonly fromMono: number;
  readonly toMono: number;
  /** Why it was followed by another: a status, or what broke. */
  readonly failure: string;
}

/** How a try ended. `ends` is in milliseconds from the exchange's beginning. */
interface TryEnd {
  readonly ends: number;
  /** Only for the last try. */
  readonly outcome: Outcome | undefined;
  /** How many tries preceded it. */
  readonly resends: number;
  readonly error: string | undefined;
}

interface Sink {
  add(span: Span): void;
}

export interface TraceParts {
  readonly traceId: string;
  readonly parent: RemoteParent | undefined;
  /** `tracestate` for the service, and whether the request came with one. */
  readonly state: string | undefined;
  readonly hadState: boolean;
  readonly flags: number;
  readonly rules: TracingRules;
  /** Protocol spoken to the service: `http1`, `h2c`, `h2`, or `auto`. */
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
  /** The tries before the last one. */
  #failedTries: Try[] | undefined = undefined;
  #isOver = false;

  constructor(parts: TraceParts) {
    this.traceId = parts.traceId;
    this.#parts = parts;
  }

  /** Made at the first use. */
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
    // Background work of an ended hook (a connection that it opened, for example) may report calls for hours.
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
      // Hooks of an exchange run one at a time. A call outside every hook did not delay this request.
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

/**
 * gRPC statuses that are server errors: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS
 * (conventions for gRPC).
 */
const grpcFaults = new Set([2, 4, 12, 13, 14, 15]);

function errorOf({ status, error, end, grpcStatus }: Outcome): string | undefined {
  if (error !== undefined && errorKinds[error.code].status >= 500) return error.code;
  if (status >= 500) return String(status);
  if (grpcStatus !== undefined && grpcFaults.has(grpcStatus)) return `grpc ${grpcStatus}`;
  return end === "failed" || end === "upstream-aborted" ? end : undefined;
}
