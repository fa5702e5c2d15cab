// Decides the requests of one route: which limits apply, who counts them, and what happens when they cannot be counted.
import { GatewayError, type Clock, type Exchange } from "../../src/plugin-api/contract.ts";
import type { Rule } from "./counting/algorithms.ts";
import { quotaError, mostRestrictive } from "./fields.ts";
import type { Leases } from "./counting/leases.ts";
import { Reservation, shareOf, type Limit, type Result } from "./limit.ts";
import type { MemoryCounts } from "./counting/memory-counts.ts";
import type { SharedStore } from "./counting/primary-store.ts";
import { goOnLocally } from "./counting/outage.ts";
import type { RedisCounts } from "./counting/redis-counts.ts";

export interface LimiterParts {
  readonly clock: Clock;
  readonly memory: MemoryCounts;
  /** Absent in embedded mode with one process. */
  readonly shared:
    | { readonly store: SharedStore; readonly redis: RedisCounts; readonly leases: Leases }
    | undefined;
  readonly sidecars: () => number;
  readonly onStoreError: "local" | "open" | "closed";
  readonly storeTimeoutMs: number;
}

/** The decision on one request. */
export interface Decision {
  /** Why the request may not pass; undefined = it may. */
  readonly error: GatewayError | undefined;
  /** The limit that the response fields report; undefined when none was checked. */
  readonly bindingLimit: Reservation | undefined;
}

const fullRule = (reservation: Reservation): Rule => reservation.limit.table.rule;

export class Limiter {
  readonly #parts: LimiterParts;

  constructor(parts: LimiterParts) {
    this.#parts = parts;
  }

  /** Returns a plain value when memory or leases decide, a promise when Redis must be asked. */
  check(exchange: Exchange, limits: readonly Limit[]): Decision | Promise<Decision> {
    const reservations: Reservation[] = [];
    for (const limit of limits) {
      if (limit.applies !== undefined && !limit.applies(exchange)) continue;
      const caller = limit.table.of(exchange, limit.partition);
      reservations.push(new Reservation(limit, caller, limit.cost, limit.cost, limit.enforced));
    }
    if (reservations.length === 0) return { error: undefined, bindingLimit: undefined };
    const { shared } = this.#parts;
    if (shared === undefined) return decided(reservations, this.#parts.memory.take(reservations, fullRule));
    if (!shared.store.up) return this.#withoutStore(reservations);
    return this.#byLeaseOrDenial(reservations) ?? this.#byRedis(reservations);
  }

  /**
   * Decides without Redis if possible: every reservation is covered by a lease, or the caller is known to be blocked.
   */
  #byLeaseOrDenial(reservations: readonly Reservation[]): Decision | undefined {
    const now = this.#parts.clock.mono();
    const covered: Reservation[] = [];
    for (const reservation of reservations) {
      const { caller, least } = reservation;
      if (reservation.limit.leased && this.#useLease(reservation, now)) {
        covered.push(reservation);
        continue;
      }
      if (!reservation.enforced || now >= caller.deniedUntil || least < caller.deniedLeast) continue;
      reservation.retryMs = Math.max(1, caller.dueAt - now);
      reservation.remaining = Math.min(caller.remaining, least - 1);
      // The other limits have not been asked, so they are not reported.
      return this.#refused([...covered, reservation]);
    }
    return covered.length === reservations.length ? decided(reservations, true) : undefined;
  }

  async #byRedis(reservations: readonly Reservation[]): Promise<Decision> {
    const { shared, storeTimeoutMs } = this.#parts;
    if (shared === undefined) return this.#withoutStore(reservations);
    try {
      for (const reservation of reservations) {
        const { limit, caller } = reservation;
        if (!limit.leased || reservation.granted > 0 || this.#useLease(reservation)) continue;
        await shared.leases.await(caller, limit, storeTimeoutMs);
        this.#useLease(reservation);
      }
      // A reservation that got no permit from the renewal asks for its own: one more round trip decides it.
      const asked = reservations.filter(({ granted }) => granted === 0);
      if (asked.length > 0) await shared.redis.take(asked, storeTimeoutMs);
    } catch (error) {
      this.#untake(reservations);
      return this.#withoutStore(reservations, error);
    }
    return reservations.some((reservation) => reservation.enforced && reservation.granted === 0)
      ? this.#refused(reservations)
      : decided(reservations, true);
  }

  #useLease(reservation: Reservation, now?: number): boolean {
    const { caller, limit } = reservation;
    const lease = this.#parts.shared?.leases.take(caller, limit, this.#parts.storeTimeoutMs, now);
    if (lease === undefined) return false;
    reservation.lease = lease;
    reservation.granted = limit.cost;
    reservation.remaining = caller.remaining + lease.left;
    reservation.resetMs =
      limit.table.rule.algorithm === "gcra" ? 1 / limit.table.rule.perMs : lease.until - lease.from;
    return true;
  }

  /** A refused request takes nothing: Redis undoes its own reservations, and leases get their permits back here. */
  #refused(reservations: readonly Reservation[]): Decision {
    this.#untake(reservations);
    return decided(reservations, false);
  }

  #untake(reservations: readonly Reservation[]): void {
    for (const reservation of reservations) {
      if (reservation.lease === undefined) continue;
      reservation.lease.left += reservation.granted;
      reservation.remaining += reservation.granted;
      reservation.granted = 0;
      reservation.lease = undefined;
    }
  }

  #withoutStore(reservations: readonly Reservation[], cause?: unknown): Decision {
    const { onStoreError, memory, shared, clock } = this.#parts;
    if (onStoreError === "open") {
      count(reservations, "unchecked");
      return { error: undefined, bindingLimit: undefined };
    }
    if (onStoreError === "closed") {
      count(reservations, "unavailable");
      const error = new GatewayError("dependency_unavailable", "The request could not be counted.", {
        cause,
        fields: ["Retry-After", "1"],
      });
      return { error, bindingLimit: undefined };
    }
    const sidecars = this.#parts.sidecars();
    const share = ({ limit }: Reservation): Rule => shareOf(limit.table.rule, sidecars, limit.cost);
    shared?.redis.lost();
    for (const reservation of reservations) {
      goOnLocally(reservation.caller, share(reservation), clock);
      reservation.limit.byShare.inc();
    }
    const passes = memory.take(reservations, share);
    for (const reservation of reservations)
      if (reservation.granted > 0) reservation.caller.unreported = share(reservation);
    return decided(reservations, passes);
  }
}

function decided(reservations: readonly Reservation[], passes: boolean): Decision {
  for (const reservation of reservations) {
    if (reservation.granted === 0 && reservation.exceeded) {
      reservation.limit.counters[reservation.enforced ? "refused" : "would_refuse"].inc();
    } else if (passes) reservation.limit.counters.allowed.inc();
  }
  const bindingLimit = mostRestrictive(reservations);
  if (passes) return { error: undefined, bindingLimit };
  const violated = reservations.filter((reservation) => reservation.enforced && reservation.exceeded);
  const retryMs = Math.max(...violated.map((reservation) => reservation.retryMs));
  const names = violated.map(({ limit }) => limit.name);
  return { error: quotaError(names, retryMs, `Over the limit ${names.join(", ")}.`), bindingLimit };
}

function count(reservations: readonly Reservation[], result: Result): void {
  for (const { limit } of reservations) limit.counters[result].inc();
}
