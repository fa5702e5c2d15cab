// Decides one route's requests: which limits apply, who counts them, and what happens when the counting cannot be done.
import { GatewayError, type Clock, type Exchange } from "../../src/plugin-api/contract.ts";
import type { Rule } from "./counting/algorithms.ts";
import { quotaError, tightest } from "./fields.ts";
import type { Leases } from "./counting/leases.ts";
import { Claim, shareOf, type Limit, type Result } from "./limit.ts";
import type { MemoryLedger } from "./counting/memory-ledger.ts";
import type { SharedStore } from "./counting/primary-store.ts";
import { goOnLocally } from "./counting/outage.ts";
import type { RedisLedger } from "./counting/redis-ledger.ts";

export interface LimiterParts {
  readonly clock: Clock;
  readonly memory: MemoryLedger;
  /** Absent in embedded mode with one process. */
  readonly shared:
    | { readonly store: SharedStore; readonly redis: RedisLedger; readonly leases: Leases }
    | undefined;
  readonly sidecars: () => number;
  readonly onStoreError: "local" | "open" | "closed";
  readonly storeTimeoutMs: number;
}

/** What became of one request. */
export interface Decision {
  /** Why it may not pass. */
  readonly error: GatewayError | undefined;
  /** The limit that speaks in the response fields; undefined when none was checked. */
  readonly spokesman: Claim | undefined;
}

const fullRule = (claim: Claim): Rule => claim.limit.table.rule;

export class Limiter {
  readonly #parts: LimiterParts;

  constructor(parts: LimiterParts) {
    this.#parts = parts;
  }

  /** Plain when memory or leases decide, a promise when Redis must be asked. */
  check(exchange: Exchange, limits: readonly Limit[]): Decision | Promise<Decision> {
    const claims: Claim[] = [];
    for (const limit of limits) {
      if (limit.applies !== undefined && !limit.applies(exchange)) continue;
      const caller = limit.table.of(exchange, limit.partition);
      claims.push(new Claim(limit, caller, limit.cost, limit.cost, limit.hard));
    }
    if (claims.length === 0) return { error: undefined, spokesman: undefined };
    const { shared } = this.#parts;
    if (shared === undefined) return decided(claims, this.#parts.memory.take(claims, fullRule));
    if (!shared.store.up) return this.#withoutStore(claims);
    return this.#byLeaseOrDenial(claims) ?? this.#byRedis(claims);
  }

  /** What can be said without Redis: every claim covered by a lease, or a caller known to be blocked. */
  #byLeaseOrDenial(claims: readonly Claim[]): Decision | undefined {
    const now = this.#parts.clock.mono();
    let covered = true;
    for (const claim of claims) {
      const { caller } = claim;
      if (claim.limit.leased && this.#useLease(claim, now)) continue;
      covered = false;
      if (!claim.hard || now >= caller.deniedUntil) continue;
      claim.retryMs = Math.max(1, caller.dueAt - now);
      claim.remaining = 0;
      return this.#refused(claims);
    }
    return covered ? decided(claims, true) : undefined;
  }

  async #byRedis(claims: readonly Claim[]): Promise<Decision> {
    const { shared, storeTimeoutMs } = this.#parts;
    if (shared === undefined) return this.#withoutStore(claims);
    try {
      for (const claim of claims) {
        const { limit, caller } = claim;
        if (!limit.leased || claim.granted > 0 || this.#useLease(claim)) continue;
        await shared.leases.await(caller, limit, storeTimeoutMs);
        this.#useLease(claim);
      }
      // Whoever got no permit of a renewal asks for its own: one more round trip says yes or no for certain.
      const asked = claims.filter(({ granted }) => granted === 0);
      if (asked.length > 0) await shared.redis.take(asked, storeTimeoutMs);
    } catch (error) {
      this.#untake(claims);
      return this.#withoutStore(claims, error);
    }
    return claims.some((claim) => claim.hard && claim.granted === 0)
      ? this.#refused(claims)
      : decided(claims, true);
  }

  #useLease(claim: Claim, now?: number): boolean {
    const { caller, limit } = claim;
    const lease = this.#parts.shared?.leases.take(caller, limit, this.#parts.storeTimeoutMs, now);
    if (lease === undefined) return false;
    claim.lease = lease;
    claim.granted = limit.cost;
    claim.remaining = caller.remaining + lease.left;
    claim.resetMs =
      limit.table.rule.algorithm === "gcra" ? 1 / limit.table.rule.perMs : lease.until - lease.from;
    return true;
  }

  /** A refused request takes nothing: Redis saw to its own claims, leases get theirs back here. */
  #refused(claims: readonly Claim[]): Decision {
    this.#untake(claims);
    return decided(claims, false);
  }

  #untake(claims: readonly Claim[]): void {
    for (const claim of claims) {
      if (claim.lease === undefined) continue;
      claim.lease.left += claim.granted;
      claim.remaining += claim.granted;
      claim.granted = 0;
      claim.lease = undefined;
    }
  }

  #withoutStore(claims: readonly Claim[], cause?: unknown): Decision {
    const { onStoreError, memory, shared, clock } = this.#parts;
    if (onStoreError === "open") {
      count(claims, "unchecked");
      return { error: undefined, spokesman: undefined };
    }
    if (onStoreError === "closed") {
      count(claims, "unavailable");
      const error = new GatewayError("dependency_unavailable", "The request could not be counted.", {
        cause,
        fields: ["Retry-After", "1"],
      });
      return { error, spokesman: undefined };
    }
    const sidecars = this.#parts.sidecars();
    const share = ({ limit }: Claim): Rule => shareOf(limit.table.rule, sidecars, limit.cost);
    shared?.redis.lost();
    for (const claim of claims) {
      goOnLocally(claim.caller, share(claim), clock);
      claim.limit.byShare.inc();
    }
    const passes = memory.take(claims, share);
    for (const claim of claims) if (claim.granted > 0) claim.caller.owes = share(claim);
    return decided(claims, passes);
  }
}

function decided(claims: readonly Claim[], passes: boolean): Decision {
  for (const claim of claims) {
    if (claim.granted === 0 && claim.exceeded) {
      claim.limit.counters[claim.hard ? "refused" : "would_refuse"].inc();
    } else if (passes) claim.limit.counters.allowed.inc();
  }
  const spokesman = tightest(claims);
  if (passes) return { error: undefined, spokesman };
  const violated = claims.filter((claim) => claim.hard && claim.exceeded);
  const retryMs = Math.max(...violated.map((claim) => claim.retryMs));
  const names = violated.map(({ limit }) => limit.name);
  return { error: quotaError(names, retryMs, `Over the limit ${names.join(", ")}.`), spokesman };
}

function count(claims: readonly Claim[], result: Result): void {
  for (const { limit } of claims) limit.counters[result].inc();
}
