// The hooks of one route: a place among the requests in flight, then the state of the house, then the limits, which
// come last so that a request refused for another reason takes nothing from them.
import {
  note,
  GatewayError,
  type Exchange,
  type ExchangeResponse,
  type Hooks,
  type Outcome,
  type Verdict,
} from "../../../src/plugin-api/contract.ts";
import type { Concurrency, Place } from "./concurrency.ts";
import { quotaError, writeFields, type FieldChoice } from "../fields.ts";
import type { Result } from "../limit.ts";
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
        readonly places: Concurrency;
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

/** What one exchange holds and was told, from its first hook to its last. */
interface Standing {
  plan: PlanLimits;
  spokesman: Decision["spokesman"];
  place: Place | undefined;
  ticket: Ticket | undefined;
  /** The exchange is complete: what a late wait still brings must be given back at once. */
  over: boolean;
}

/** Problem type of draft-ietf-httpapi-ratelimit-headers-10, section "Temporary Reduced Capacity". */
const reducedCapacity = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";

const standingNote = note<Standing>("rate-limit");

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
    const standing: Standing = {
      plan: this.#parts.limitsOf(exchange),
      spokesman: undefined,
      place: undefined,
      ticket: undefined,
      over: false,
    };
    standingNote.set(exchange, standing);
    if (this.#parts.concurrency === undefined) return this.#proceed(exchange, standing);
    const { places, partition } = this.#parts.concurrency;
    const place = places.enter(partition.value(exchange), () => exchange.signal);
    if (place instanceof Promise) return place.then((settled) => this.#seated(exchange, standing, settled));
    return this.#seated(exchange, standing, place);
  }

  onResponse(exchange: Exchange, response: ExchangeResponse): void {
    const standing = standingNote.get(exchange);
    if (standing === undefined) return;
    standing.ticket?.leave();
    if (standing.spokesman === undefined) return;
    writeFields(response, standing.spokesman, standing.plan.policy, this.#parts.fields);
  }

  onComplete(exchange: Exchange, outcome: Outcome): void {
    const standing = standingNote.get(exchange);
    if (standing === undefined) return;
    standing.over = true;
    standing.place?.release();
    const { ticket } = standing;
    if (ticket === undefined) return;
    ticket.leave();
    const timedOut = outcome.error?.code === "upstream_timeout";
    const waitedMs = timedOut ? outcome.durationMs : outcome.upstreamMs;
    if (waitedMs !== undefined) ticket.sample(waitedMs);
  }

  #seated(exchange: Exchange, standing: Standing, place: Place | undefined): Verdict | Promise<Verdict> {
    const { concurrency } = this.#parts;
    if (concurrency === undefined) return this.#proceed(exchange, standing);
    if (place === undefined && !concurrency.dryRun) {
      concurrency.count("refused");
      exchange.refusedBecause = `limit ${concurrency.name}`;
      const error = quotaError([concurrency.name], 1000, "Too many requests at once.");
      return { action: "reject", error };
    }
    concurrency.count(place === undefined ? "would_refuse" : "allowed");
    standing.place = place;
    if (standing.over) {
      place?.release();
      return undefined;
    }
    return this.#proceed(exchange, standing);
  }

  #proceed(exchange: Exchange, standing: Standing): Verdict | Promise<Verdict> {
    const { overload, limiter } = this.#parts;
    if (overload !== undefined) {
      const priority = overload.priorityOf(exchange);
      const ticket = overload.guard.enter(exchange.route.upstream, priority);
      if (ticket === undefined) return shed(exchange);
      // An upgraded connection lives long and says nothing of how fast the service answers.
      if (exchange.request.upgrade === undefined) standing.ticket = ticket;
      else ticket.leave();
    }
    const decision = limiter.check(exchange, standing.plan.limits);
    if (decision instanceof Promise) return decision.then((settled) => conclude(exchange, standing, settled));
    return conclude(exchange, standing, decision);
  }
}

function conclude(exchange: Exchange, standing: Standing, { error, spokesman }: Decision): Verdict {
  standing.spokesman = spokesman;
  if (error === undefined) return undefined;
  exchange.refusedBecause = spokesman === undefined ? "rate-limit store" : `limit ${spokesman.limit.name}`;
  return { action: "reject", error };
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
