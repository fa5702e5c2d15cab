// The hooks of one route. First a concurrency permit, then overload protection, then the limits. The limits come last
// so that a request refused for another reason uses up none of their permits.
import {
  note,
  GatewayError,
  type Exchange,
  type ExchangeResponse,
  type Hooks,
  type Outcome,
  type Verdict,
} from "../../../src/plugin-api/contract.ts";
import type { Concurrency, Permit } from "./concurrency.ts";
import { quotaError, writeFields, type FieldChoice } from "../fields.ts";
import type { Reservation, Result } from "../limit.ts";
import type { Decision, Limiter } from "../limiter.ts";
import type { OverloadGuard, Priority, Ticket } from "./overload.ts";
import type { Partition } from "../partition.ts";
import type { PlanLimits } from "../plans.ts";

export interface AdmissionParts {
  readonly limiter: Limiter;
  readonly limitsOf: (exchange: Exchange) => PlanLimits;
  readonly concurrency:
    | {
        readonly name: string;
        readonly permits: Concurrency;
        readonly partition: Partition;
        readonly dryRun: boolean;
        readonly count: (result: Result) => void;
      }
    | undefined;
  readonly overload:
    | { readonly guard: OverloadGuard; readonly priorityOf: (exchange: Exchange) => Priority }
    | undefined;
  readonly fields: FieldChoice;
}

/** What one exchange holds and what it was told, from its first hook to its last. */
interface AdmissionState {
  plan: PlanLimits;
  bindingLimit: Decision["bindingLimit"];
  permit: Permit | undefined;
  ticket: Ticket | undefined;
  /** The exchange is complete: a permit that arrives after this must be released at once. */
  over: boolean;
}

/** Problem type of draft-ietf-httpapi-ratelimit-headers-10, section "Temporary Reduced Capacity". */
const reducedCapacity = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";

const admissionNote = note<AdmissionState>("rate-limit");

export class Admission implements Hooks {
  readonly timeLimitMs: NonNullable<Hooks["timeLimitMs"]>;
  readonly close: () => Promise<void>;
  readonly #parts: AdmissionParts;

  constructor(parts: AdmissionParts, onRequestMs: number, close: () => Promise<void>) {
    this.#parts = parts;
    this.timeLimitMs = { onRequest: onRequestMs };
    this.close = close;
  }

  onRequest(exchange: Exchange): Verdict | Promise<Verdict> {
    const state: AdmissionState = {
      plan: this.#parts.limitsOf(exchange),
      bindingLimit: undefined,
      permit: undefined,
      ticket: undefined,
      over: false,
    };
    admissionNote.set(exchange, state);
    if (this.#parts.concurrency === undefined) return this.#proceed(exchange, state);
    const { permits, partition } = this.#parts.concurrency;
    const permit = permits.enter(partition.value(exchange), () => exchange.signal);
    if (permit instanceof Promise) return permit.then((settled) => this.#seated(exchange, state, settled));
    return this.#seated(exchange, state, permit);
  }

  onResponse(exchange: Exchange, response: ExchangeResponse): void {
    const state = admissionNote.get(exchange);
    if (state === undefined) return;
    state.ticket?.leave();
    if (state.bindingLimit === undefined) return;
    writeFields(response, state.bindingLimit, state.plan.policy, this.#parts.fields);
  }

  onComplete(exchange: Exchange, outcome: Outcome): void {
    const state = admissionNote.get(exchange);
    if (state === undefined) return;
    state.over = true;
    state.permit?.release();
    const { ticket } = state;
    if (ticket === undefined) return;
    ticket.leave();
    const timedOut = outcome.error?.code === "upstream_timeout";
    const waitedMs = timedOut ? outcome.durationMs : outcome.upstreamMs;
    if (waitedMs !== undefined) ticket.sample(waitedMs);
  }

  #seated(exchange: Exchange, state: AdmissionState, permit: Permit | undefined): Verdict | Promise<Verdict> {
    const { concurrency } = this.#parts;
    if (concurrency === undefined) return this.#proceed(exchange, state);
    if (permit === undefined && !concurrency.dryRun) {
      concurrency.count("refused");
      exchange.refusedBecause = `limit ${concurrency.name}`;
      const error = quotaError([concurrency.name], 1000, "Too many requests at once.");
      return { action: "reject", error };
    }
    concurrency.count(permit === undefined ? "would_refuse" : "allowed");
    state.permit = permit;
    if (state.over) {
      permit?.release();
      return undefined;
    }
    return this.#proceed(exchange, state);
  }

  #proceed(exchange: Exchange, state: AdmissionState): Verdict | Promise<Verdict> {
    const { overload, limiter } = this.#parts;
    if (overload !== undefined) {
      const priority = overload.priorityOf(exchange);
      const ticket = overload.guard.enter(exchange.route.upstream, priority);
      if (ticket === undefined) return shed(exchange);
      // An upgraded connection lives long and tells nothing about how fast the service answers.
      if (exchange.request.upgrade === undefined) state.ticket = ticket;
      else ticket.leave();
    }
    const decision = limiter.check(exchange, state.plan.limits);
    if (decision instanceof Promise) return decision.then((settled) => conclude(exchange, state, settled));
    return conclude(exchange, state, decision);
  }
}

function conclude(exchange: Exchange, state: AdmissionState, { error, bindingLimit }: Decision): Verdict {
  state.bindingLimit = bindingLimit;
  if (bindingLimit !== undefined) explain(exchange, bindingLimit);
  if (error === undefined) return undefined;
  exchange.refusedBecause =
    bindingLimit === undefined ? "rate-limit store" : `limit ${bindingLimit.limit.name}`;
  return { action: "reject", error };
}

function explain(exchange: Exchange, { limit, remaining, retryMs, resetMs, exceeded }: Reservation): void {
  exchange.explain(
    "limit",
    limit.name,
    "of",
    limit.quota,
    "left",
    remaining,
    exceeded ? "retryMs" : "resetMs",
    Math.ceil(exceeded ? retryMs : resetMs),
  );
}

function shed(exchange: Exchange): Verdict {
  exchange.refusedBecause = "overload";
  const error = new GatewayError("overloaded", "Too much load at the moment.", {
    type: reducedCapacity,
    fields: ["Retry-After", "1"],
    members: { "violated-policies": [] },
  });
  return { action: "reject", error };
}
