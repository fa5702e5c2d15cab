// A caller through an outage of Redis: this sidecar goes on from what Redis said last, and afterwards tells what was used
// meanwhile, and what Redis had said in case it has forgotten: nobody gets a second helping.
import type { Clock } from "../../../src/plugin-api/contract.ts";
import { roll, type Rule, type Usage } from "./algorithms.ts";
import type { Caller } from "../caller.ts";
import type { Reservation } from "../limit.ts";
import { windowStart } from "./window.ts";

/** Before the first local decision of an outage: the share of what is known to be used already. */
export function goOnLocally(caller: Caller, share: Rule, clock: Clock): void {
  if (caller.unreported !== undefined) return;
  const { usage, seed } = caller;
  const { capacity } = caller.table.rule;
  const wall = share.algorithm === "fixed";
  Object.assign(seed, knownUsage(caller, share, wall ? clock : undefined));
  if (capacity > 0) seed.level *= share.capacity / capacity;
  Object.assign(usage, seed);
}

/** What was used in an outage travels with the next reservation, once. @param lostAt when Redis was last missed, monotonic ms */
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

/** The reservation did not arrive. */
export function keepUnreported({ caller, unreportedUsage, seed, unreportedRule }: Reservation): void {
  if (unreportedRule === undefined) return;
  // Others may have begun anew meanwhile, from the same seed.
  if (caller.unreported === undefined) {
    caller.usage.level = seed;
    caller.seed.level = seed;
  }
  caller.unreported = unreportedRule;
  caller.usage.level += unreportedUsage;
}

/** Permits that Redis knew to be used and that still are. */
function floorOf(caller: Caller, clock: Clock): number {
  const { rule } = caller.table;
  const wall = rule.algorithm !== "gcra";
  const known = knownUsage(caller, rule, wall ? clock : undefined, clock.mono());
  roll(known, rule, wall ? clock.now() : clock.mono());
  return known.level;
}

/** What Redis said last. @param wall puts it on the wall clock, which windows in Redis follow */
function knownUsage(caller: Caller, rule: Rule, wall: Clock | undefined, mono = wall?.mono() ?? 0): Usage {
  const { heardAt, remaining } = caller;
  if (heardAt === undefined) return { level: 0, since: 0, before: 0 };
  const at = wall === undefined ? heardAt : wall.now() - (mono - heardAt);
  const since = rule.algorithm === "gcra" ? at : windowStart(rule.window, at);
  return { level: Math.max(0, caller.table.rule.capacity - remaining), since, before: 0 };
}
