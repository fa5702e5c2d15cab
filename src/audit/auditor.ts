// Turns the events of exchanges into audit records of decisions.
import type { Clock, Counter, Exchange, Outcome } from "../plugin-api/contract.ts";
import type { GatewayError } from "../plugin-api/errors.ts";
import type { EarlyRequest, PolicyAudit } from "../runtime/live-audit.ts";
import type { AccessEvent, Decision, PersonalFields } from "./record.ts";
import type { Trail } from "./trail.ts";

const maxPathLength = 2_048;
const maxNameLength = 256;
const knownMethods = new Set(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "QUERY"]);
/** Statuses by which a plugin refuses although its answer carries no error. */
const refusing = new Set([401, 403, 407, 429]);

const nobody = { userId: undefined, issuer: undefined };

type Answered = Parameters<PolicyAudit["answering"]>[1];

/** Writes the records of one policy. */
export class Auditor implements PolicyAudit {
  readonly blocking: boolean;
  readonly #trail: Trail;
  readonly #policy: string;
  readonly #clock: Clock;

  /** @param policy digest of the policy that decides */
  constructor(trail: Trail, policy: string, blocking: boolean, clock: Clock) {
    this.#trail = trail;
    this.#policy = policy;
    this.#clock = clock;
    this.blocking = blocking;
  }

  closedTo({ identity }: Exchange): boolean {
    return this.blocking && !this.#trail.takes(identity ?? nobody, this.#clock.now());
  }

  answering(exchange: Exchange, response: Answered, by: string | undefined): Promise<boolean> | undefined {
    const event = this.#event(exchange, decisionOf(response, by), response.status, by, response.error);
    if (this.blocking) return this.#trail.write(event);
    this.#trail.add(event);
    return undefined;
  }

  ended(exchange: Exchange, outcome: Outcome, recorded: number | undefined): void {
    const { status, end, answeredBy, error } = outcome;
    if (recorded !== undefined && end !== "revoked" && isThat(outcome, recorded)) return;
    const decision = end === "revoked" ? "revoked" : status === 0 ? "unanswered" : endDecision(status, error);
    this.#trail.add(this.#event(exchange, decision, status, answeredBy, error));
  }

  refused(error: GatewayError, { requestId, method = "", path = "", address }: EarlyRequest): void {
    const { status } = error.kind;
    this.#trail.add({
      kind: "access",
      at: this.#clock.now(),
      decision: status >= 500 ? "failed" : "refused",
      status,
      method: knownMethods.has(method) ? method : "other",
      route: "",
      code: error.code,
      policy: this.#policy,
      person: { address, path: path.slice(0, maxPathLength), requestId },
    });
  }

  #event(
    exchange: Exchange,
    decision: Decision,
    status: number,
    by: string | undefined,
    error: GatewayError | undefined,
  ): AccessEvent {
    const { request, route, identity, refusedBecause } = exchange;
    return {
      kind: "access",
      at: this.#clock.now(),
      decision,
      status,
      method: knownMethods.has(request.method) ? request.method : "other",
      route: route.pattern,
      by,
      code: error?.code,
      rule: refusedBecause?.slice(0, maxNameLength),
      credentialKind: identity?.method,
      policy: this.#policy,
      trace: exchange.trace?.traceId,
      person: personOf(exchange),
    };
  }
}

function personOf({ id, request, client, identity }: Exchange): PersonalFields {
  const place = { address: client.address, path: request.path.slice(0, maxPathLength), requestId: id };
  if (identity === undefined) return place;
  const { userId, issuer, credentialId } = identity;
  return { userId, issuer, credential: credentialId, ...place };
}

function decisionOf({ status, origin, error }: Answered, by: string | undefined): Decision {
  if (error !== undefined) return status >= 500 ? "failed" : "refused";
  if (origin === "upstream") return "allowed";
  return by !== undefined && refusing.has(status) ? "refused" : "answered";
}

/** Whether the client got what was recorded. gRPC errors are sent with status 200, so their code counts. */
function isThat({ status, error }: Outcome, recorded: number): boolean {
  return status === recorded || status === 0 || (error !== undefined && error.kind.status === recorded);
}

/** The decision of an answer that skipped the response phase: middleware's own, or an answer to a fault. */
function endDecision(status: number, error: GatewayError | undefined): Decision {
  if ((error?.kind.status ?? status) >= 500) return "failed";
  return error === undefined ? "answered" : "refused";
}

/** Stands in when a policy wants a trail and the settings configure none: records nothing, and counts lost records. */
export class NoTrail implements PolicyAudit {
  readonly blocking: boolean;
  readonly #lost: Counter;

  constructor(blocking: boolean, lost: Counter) {
    this.blocking = blocking;
    this.#lost = lost;
  }

  closedTo(): boolean {
    return this.blocking;
  }

  answering(): Promise<boolean> | undefined {
    this.#lost.inc();
    return this.blocking ? Promise.resolve(false) : undefined;
  }

  ended(): void {}

  refused(): void {
    this.#lost.inc();
  }
}
