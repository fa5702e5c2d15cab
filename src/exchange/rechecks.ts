// Rechecks long exchanges: streams, upgrades, slow answers. What admitted one may end while it runs (an expired token,
// a revoked key, another policy). So every few seconds its request is judged again by the policy in force. One timer
// serves all exchanges and judges a part of them at each tick, so that many cause no pause.
import type { Clock, Logger } from "../plugin-api/contract.ts";
import { GatewayError } from "../plugin-api/errors.ts";
import type { CarriedExchange } from "./context.ts";
import type { IntrusiveSet } from "../v8/intrusive-set.ts";
import { receivedExchange } from "./received.ts";
import type { ReceivedHead, RequestHead } from "../http1/request-head.ts";
import type { RoutedPolicy } from "../routing/routed-policy.ts";

export interface RecheckParts {
  /** Interval of the rechecks in ms; younger exchanges are not judged. */
  readonly everyMs: number;
  readonly exchanges: IntrusiveSet<CarriedExchange>;
  readonly clock: Clock;
  readonly logger: Logger;
  policy(): RoutedPolicy | undefined;
  /** Parses the head of a request by this policy. */
  read(received: ReceivedHead, viaTrustedProxy: boolean, policy: RoutedPolicy): RequestHead;
}

const ticksPerRound = 10;
/** The request has neither body nor upstream: it is only judged. */
const noIo = {
  over: false,
  readBody: () => Promise.reject(new Error("a request that is judged anew has no body")),
  replaceBody: () => {},
  fetchUpstream: () => Promise.reject(new Error("a request that is judged anew is not forwarded")),
};

const credentialEnded = new GatewayError("authentication_required", "The credential has ended.");
const tooQuiet = new GatewayError(
  "upstream_timeout",
  "Nothing has come for as long as the route allows a stream to be silent.",
);
const tooOld = new GatewayError("upstream_timeout", "The exchange is older than its route allows.");

export class Rechecks {
  readonly #parts: RecheckParts;
  readonly #asking = new Set<CarriedExchange>();
  readonly #timer: NodeJS.Timeout;
  // Counts down: the set fills a gap with its last item, which has then had its turn.
  #next = -1;
  #perTick = 0;
  #ticks = 0;

  constructor(parts: RecheckParts) {
    this.#parts = parts;
    this.#timer = setInterval(() => this.#tick(), parts.everyMs / ticksPerRound).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #tick(): void {
    const { exchanges } = this.#parts;
    const current = this.#parts.policy();
    if (current === undefined) return;
    // Even with few exchanges, each is judged once per round.
    this.#ticks += 1;
    if (this.#next < 0 && this.#ticks >= ticksPerRound) {
      this.#ticks = 0;
      this.#next = exchanges.size - 1;
      this.#perTick = Math.ceil(exchanges.size / ticksPerRound);
    }
    for (let looked = 0; looked < this.#perTick && this.#next >= 0; looked += 1) {
      const exchange = exchanges.at(this.#next);
      this.#next -= 1;
      if (exchange !== undefined)
        this.#look(exchange, exchange.policy.trial?.judging(exchange.policy) ?? current);
    }
  }

  #look(exchange: CarriedExchange, policy: RoutedPolicy): void {
    const { live, route } = exchange;
    exchange.tellMessages();
    const ageMs = this.#parts.clock.mono() - live.startedMono;
    // An exchange whose hooks are still running has not been admitted yet.
    if (ageMs < this.#parts.everyMs || live.over || live.busy || this.#asking.has(exchange)) return;
    if ((live.identity?.expiresAt ?? Infinity) <= this.#parts.clock.now()) {
      exchange.revoke(credentialEnded, "the credential has ended");
      return;
    }
    if (policy === exchange.policy && !route.judgedAnew) return;
    try {
      this.#judge(exchange, policy, ageMs);
    } catch (error) {
      this.#parts.logger.error({ requestId: live.id, err: error }, "recheck of a running request failed");
    }
  }

  /** Compares the byte count with that of the last recheck. */
  #isIdle(exchange: CarriedExchange, maxIdleMs: number): boolean {
    const { moved } = exchange;
    const now = this.#parts.clock.mono();
    if (moved === exchange.movedBefore) return now - exchange.movedMono >= maxIdleMs;
    exchange.movedBefore = moved;
    exchange.movedMono = now;
    return false;
  }

  #judge(exchange: CarriedExchange, policy: RoutedPolicy, ageMs: number): void {
    const { inbound } = exchange;
    // The chain has changed the fields of the first parse, so the head is parsed again.
    const head = this.#parts.read(inbound.stream, inbound.client.viaTrustedProxy, policy);
    const { route, early, unanswered } = policy.find(head);
    const refusal = early ?? unanswered;
    if (refusal !== undefined) {
      exchange.revoke(refusal, "the policy does not take it any more");
      return;
    }
    if (ageMs >= route.maxAgeMs) {
      exchange.revoke(tooOld, "older than maxAgeMs");
      return;
    }
    if (exchange.isStream && this.#isIdle(exchange, route.maxIdleMs)) {
      exchange.revoke(tooQuiet, "silent for maxIdleMs");
      return;
    }
    const again = receivedExchange({ ...inbound, head }, route, this.#parts.clock, noIo);
    // A client that is not identified again keeps its choice among the versions of a plugin.
    again.choices = exchange.live.choices && new Map(exchange.live.choices);
    const judged = route.chain.recheck(again);
    const settle = (error: GatewayError | undefined): void => {
      // A check that fails for now is repeated later: an outage must not end streams.
      if (error === undefined || error.kind.status === 503 || exchange.live.over) return;
      exchange.revoke(error, again.refusedBecause ?? "not let in any more");
    };
    if (!(judged instanceof Promise)) {
      settle(judged);
      return;
    }
    this.#asking.add(exchange);
    void judged.then(settle).finally(() => this.#asking.delete(exchange));
  }
}
