// Takes a caller through an outage of Redis, so that nobody gets a limit twice. During it, this sidecar counts on from
// the last answer of Redis. Afterwards it reports its own usage, and that answer in case Redis has forgotten it.
import type { Clock } from "../../../src/plugin-api/contract.ts";
import { roll, type Rule, type Usage } from "./algorithms.ts";
import type { Caller } from "../caller.ts";
import type { Reservation } from "../limit.ts";
import { windowStart } from "./window.ts";

/** Before the first local decision of an outage: starts from this sidecar's share of the usage known so far. */
export function goOnLocally(caller: Caller, share: Rule, clock: Clock): void {
  if (caller.unreported !== undefined) return;
  const { usage, seed } = caller;
  const { capacity } = caller.table.rule;
  const wall = share.algorithm === "fixed";
  Object.assign(seed, knownUsage(caller, share, wall ? clock : undefined));
  if (capacity > 0) seed.level *= share.capacity / capacity;
  Object.assign(usage, seed);
}

/**
 * Attaches the usage of an outage to the next reservation, once. @param lostAt last time without Redis, monotonic ms
 */
export function reportUsage(reservation: Reservation, clock: Clock, lostAt: number): void {
  const { caller } = reservation;
  if (caller.heardAt !== undefined && caller.heardAt < lostAt) reservation.floor = floorOf(caller, clock);
  const rule = caller.unreported;
  if (rule === undefined) return;
  const { usage, seed } = caller;
  const now = rule.algorithm === "fixed" ? clock.now() : clock.mono();
  roll(usage, rule, now);
  roll(seed, rule, now);
  // Redis has the seed already, or learns it from the floor.
  reservation.unreportedUsage = Math.max(0, usage.level - seed.level);
  reservation.seed = seed.level;
  reservation.unreportedRule = rule;
  caller.unreported = undefined;
  usage.level = 0;
  seed.level = 0;
}

/** Call when a reservation did not reach Redis: its usage is kept for the next one. */
export function keepUnreported({ caller, unreportedUsage, seed, unreportedRule }: Reservation): void {
  if (unreportedRule === undefined) return;
  // Other requests may have started again from the same seed meanwhile.
  if (caller.unreported === undefined) {
    caller.usage.level = seed;
    caller.seed.level = seed;
  }
  caller.unreported = unreportedRule;
  caller.usage.level += unreportedUsage;
}

/** Permits that Redis reported as used and that still count. */
function floorOf(caller: Caller, clock: Clock): number {
  const { rule } = caller.table;
  const wall = rule.algorithm !== "gcra";
  const known = knownUsage(caller, rule, wall ? clock : undefined, clock.mono());
  roll(known, rule, wall ? clock.now() : clock.mono());
  return known.level;
}

/** What Redis said last. @param wall = use the wall clock, which windows in Redis follow */
function knownUsage(caller: Caller, rule: Rule, wall: Clock | undefined, mono = wall?.mono() ?? 0): Usage {
  const { heardAt, remaining } = caller;
  if (heardAt === undefined) return { level: 0, since: 0, before: 0 };
  const at = wall === undefined ? heardAt : wall.now() - (mono - heardAt);
  const since = rule.algorithm === "gcra" ? at : windowStart(rule.window, at);
  return { level: Math.max(0, caller.table.rule.capacity - remaining), since, before: 0 };
}
