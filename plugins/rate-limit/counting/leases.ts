// Leased mode: takes permits from Redis in small lots, holds them for at most `leaseMs`, and uses them without asking.
// Leases are renewed ahead of need and given back when idle. The README proves the bound of the overshoot.
import type { Clock } from "../../../src/plugin-api/contract.ts";
import type { Caller, Lease } from "../caller.ts";
import { Reservation, type Limit } from "../limit.ts";

/** What leases need from the shared counting. */
export interface LeaseSource {
  /** As `RedisCounts.take`. */
  take(reservations: readonly Reservation[], limitMs: number): Promise<number>;
  /** Never rejects. */
  giveBack(caller: Caller, lease: Lease): Promise<void>;
}

export class Leases {
  readonly #source: LeaseSource;
  readonly #clock: Clock;
  /** Callers that hold a lease. The sweep timer stops when there are none. */
  readonly #holders = new Map<Caller, Limit>();
  /** Limits whose gauge was set since the last time that no lease was held. */
  readonly #seen = new Set<Limit>();
  #sweeping: NodeJS.Timeout | undefined = undefined;

  constructor(source: LeaseSource, clock: Clock) {
    this.#source = source;
    this.#clock = clock;
  }

  /**
   * Uses held permits. Synchronous: this is the whole cost of a warm request. @returns the lease they came from, if any
   */
  take(caller: Caller, limit: Limit, limitMs: number, now = this.#clock.mono()): Lease | undefined {
    let lease = caller.lease;
    if (lease === undefined || lease.left < limit.cost || now >= lease.until) {
      lease = this.#change(caller, now);
      if (lease === undefined || lease.left < limit.cost || now >= lease.until) return undefined;
    }
    lease.left -= limit.cost;
    lease.usedAt = now;
    const low = lease.left * 4 <= lease.size || now - lease.from >= (lease.until - lease.from) * 0.75;
    if (low && caller.spare === undefined && caller.pending === undefined && now >= caller.deniedUntil) {
      // Nobody awaits this renewal: a request that needs it later finds that it failed.
      this.#renew(caller, limit, now, limitMs).catch(() => {});
    }
    return lease;
  }

  /** Joins the renewal in progress or starts one. Settles within `limitMs`; rejects as the source does. */
  async await(caller: Caller, limit: Limit, limitMs: number): Promise<void> {
    caller.awaited += limit.cost;
    try {
      await (caller.pending ?? this.#renew(caller, limit, this.#clock.mono(), limitMs));
    } finally {
      caller.awaited -= limit.cost;
    }
  }

  /** Gives back leases that are expired or idle. @param all also those in use: at the end of a policy or the process */
  async sweep(all = false): Promise<void> {
    const returns: Promise<void>[] = [];
    const now = this.#clock.mono();
    for (const [caller, limit] of this.#holders) {
      const { lease, spare } = caller;
      const idle =
        all || lease === undefined || now - lease.usedAt >= limit.leaseMs / 2 || now >= lease.until;
      if (!idle || caller.pending !== undefined) continue;
      caller.lease = undefined;
      caller.spare = undefined;
      this.#holders.delete(caller);
      for (const one of [lease, spare]) if (one !== undefined) returns.push(this.#return(caller, one));
    }
    await Promise.all(returns);
  }

  /** Replaces a lease that is used up or expired by the spare one. */
  #change(caller: Caller, now: number): Lease | undefined {
    const { lease, spare } = caller;
    if (lease !== undefined && lease.left > 0 && (now >= lease.until || spare !== undefined)) {
      void this.#return(caller, lease);
      lease.left = 0;
    }
    if (spare === undefined) return lease;
    caller.lease = spare;
    caller.spare = undefined;
    return spare;
  }

  async #return(caller: Caller, lease: Lease): Promise<void> {
    const { rule } = caller.table;
    // A gcra permit drains with time: what has drained since the grant is free again and is not given back.
    const regained = rule.algorithm === "gcra" ? (this.#clock.mono() - lease.from) * rule.perMs : 0;
    if (lease.left - regained >= 1) await this.#source.giveBack(caller, lease);
  }

  #renew(caller: Caller, limit: Limit, now: number, limitMs: number): Promise<void> {
    const reservation = new Reservation(limit, caller, limit.cost, lotOf(caller, limit, now), true);
    const renewal = this.#source
      .take([reservation], limitMs)
      .then((serverMs) => {
        if (reservation.granted > 0) this.#keep(caller, limit, reservation, now, serverMs);
        else this.#deny(caller, limit, now);
      })
      .finally(() => {
        caller.pending = undefined;
      });
    caller.pending = renewal;
    return renewal;
  }

  #keep(caller: Caller, limit: Limit, reservation: Reservation, sentMono: number, serverMs: number): void {
    const { rule } = caller.table;
    // A quota's permits end with its window: none of one month is used in the next. Redis rounds waits up, hence - 1.
    const heldMs =
      rule.algorithm === "fixed" ? Math.min(limit.leaseMs, reservation.resetMs - 1) : limit.leaseMs;
    const lease: Lease = {
      left: reservation.granted,
      size: reservation.granted,
      from: sentMono,
      until: sentMono + heldMs,
      usedAt: this.#clock.mono(),
      grantedAt: serverMs,
    };
    if (caller.lease === undefined || caller.lease.left === 0) caller.lease = lease;
    else caller.spare = lease;
    this.#holders.set(caller, limit);
    this.#sweeping ??= setInterval(() => this.#tick(), sweepMs).unref();
  }

  // Asking again for each permit that becomes free would be exact mode with more steps: wait for a few of them.
  #deny(caller: Caller, limit: Limit, now: number): void {
    const { perMs, capacity, algorithm } = caller.table.rule;
    if (algorithm !== "gcra" || perMs === 0) return;
    const gatherMs = Math.min(limit.leaseMs / 10, capacity / perMs / 4);
    caller.deniedUntil = Math.max(caller.deniedUntil, now + gatherMs);
  }

  #tick(): void {
    void this.sweep();
    const held = new Map<Limit, number>();
    for (const limit of this.#seen) held.set(limit, 0);
    for (const [caller, limit] of this.#holders) {
      const permits = (caller.lease?.left ?? 0) + (caller.spare?.left ?? 0);
      held.set(limit, (held.get(limit) ?? 0) + permits);
      this.#seen.add(limit);
    }
    for (const [limit, permits] of held) limit.held.set(permits);
    if (this.#holders.size > 0) return;
    this.#seen.clear();
    clearInterval(this.#sweeping);
    this.#sweeping = undefined;
  }
}

const sweepMs = 100;

/** How many permits to ask for: what half a lease's time uses at the recent pace, plus what waiting requests need. */
function lotOf(caller: Caller, limit: Limit, now: number): number {
  const { rule } = caller.table;
  const perLease = largestLot(limit);
  const { lease } = caller;
  const firstLot = Math.ceil(perLease / 16);
  let batchSize = firstLot;
  if (lease !== undefined) {
    const pace = (lease.size - lease.left) / Math.max(1, now - lease.from);
    batchSize = Math.min(Math.ceil((pace * limit.leaseMs) / 2), Math.max(firstLot, lease.size * 4));
  }
  // When few are left, nobody takes more than half of them: other sidecars need some too.
  if (lease !== undefined) batchSize = Math.min(batchSize, Math.max(1, caller.remaining >> 1));
  const wanted = Math.max(batchSize, limit.cost) + caller.awaited;
  return Math.max(limit.cost, Math.min(wanted, perLease, rule.capacity));
}

/** The most that one lease holds. */
function largestLot({ quota, leaseMs, table }: Limit): number {
  const { algorithm, window } = table.rule;
  const batchSize = Math.ceil((quota / window.ms) * leaseMs);
  // A quota's leases end with its window, so their size costs no exactness.
  return algorithm === "fixed" ? Math.max(batchSize, Math.ceil(quota / 256)) : batchSize;
}

/**
 * The bound that the README proves: how many more requests than `exact` mode are admitted in any interval.
 * @param sidecars number that hold leases at the same time
 */
export function overshootBound(limit: Limit, sidecars: number): number {
  const { algorithm, perMs } = limit.table.rule;
  if (!limit.leased || algorithm === "fixed") return 0;
  if (algorithm === "gcra") return Math.ceil(perMs * limit.leaseMs);
  return Math.min(limit.quota, 2 * largestLot(limit) * sidecars);
}
