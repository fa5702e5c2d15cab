// The three ways of counting, as pure functions over one small record. script.ts holds the same arithmetic in Lua;
// one behavioural suite runs over both. Times are milliseconds, amounts are permits.
import type { Window } from "../../../src/language/duration.ts";
import { windowEnd, windowStart } from "./window.ts";

export type Algorithm = "gcra" | "sliding" | "fixed";

/** What a limit allows, as the numbers that the algorithms take. */
export interface Rule {
  readonly algorithm: Algorithm;
  /** Most permits in use at once: the burst for gcra, the limit for the others. */
  readonly capacity: number;
  /** Permits that come back per millisecond (gcra). */
  readonly perMs: number;
  readonly window: Window;
}

/**
 * What one caller has used.
 * gcra: `level` permits were in use at `since`; they drain at the rule's rate. This is the continuous-state form (ITU-T
 * I.371 annex A). It counts permits, so it keeps its meaning when the rate changes.
 * fixed: `level` permits were used in the window that began at `since`. sliding: the same, and `before` in the window
 * before it.
 */
export interface Usage {
  level: number;
  since: number;
  before: number;
}

/** Rounding of doubles must not cost a caller the permit that becomes free at this very moment. */
const epsilon = 1e-9;

export function emptyUsage(): Usage {
  return { level: 0, since: 0, before: 0 };
}

/** Brings the record to `nowMs`. If the clock goes back, the level stays: nothing is freed, nobody is locked out. */
export function roll(usage: Usage, rule: Rule, nowMs: number): void {
  if (rule.algorithm === "gcra") {
    if (nowMs > usage.since) usage.level = Math.max(0, usage.level - (nowMs - usage.since) * rule.perMs);
    usage.since = nowMs;
    return;
  }
  const start = windowStart(rule.window, nowMs);
  if (start > usage.since) {
    const adjacent = rule.algorithm === "sliding" && windowEnd(rule.window, usage.since) === start;
    usage.before = adjacent ? usage.level : 0;
    usage.level = 0;
  }
  usage.since = start;
}

/** Permits free at `nowMs`; a fraction for the smooth algorithms. Call `roll` first. */
export function free(usage: Usage, rule: Rule, nowMs: number): number {
  const used = rule.algorithm === "sliding" ? usage.level + faded(usage, rule, nowMs) : usage.level;
  return rule.capacity - used + epsilon;
}

/** What still counts of the bucket before this one. */
function faded(usage: Usage, rule: Rule, nowMs: number): number {
  return usage.before * (1 - (nowMs - usage.since) / rule.window.ms);
}

/** Milliseconds until `amount` permits are free if nobody takes any; a whole window if never. Call `roll` first. */
export function waitMs(usage: Usage, rule: Rule, nowMs: number, amount: number): number {
  const missing = amount - free(usage, rule, nowMs);
  if (missing <= 0) return 0;
  if (amount > rule.capacity) return rule.window.ms;
  if (rule.algorithm === "gcra") return missing / rule.perMs;
  const endMs = windowEnd(rule.window, usage.since) - nowMs;
  if (rule.algorithm === "fixed") return endMs;
  if (usage.level + amount <= rule.capacity) return (missing / usage.before) * rule.window.ms;
  // Not before this bucket has become the previous one and has faded enough.
  return endMs + (1 - (rule.capacity - amount) / usage.level) * rule.window.ms;
}

/** Milliseconds until one more permit is free (the draft's reset parameter); 0 when all are free. Call `roll` first. */
export function resetMs(usage: Usage, rule: Rule, nowMs: number): number {
  const next = Math.floor(free(usage, rule, nowMs)) + 1;
  return next > rule.capacity ? 0 : waitMs(usage, rule, nowMs, next);
}

/** Merges another record of the same caller: its usage under the limit's former numbers. */
export function merge(usage: Usage, rule: Rule, other: Usage): void {
  if (rule.algorithm === "gcra") {
    // A bucket above its capacity, because the limit was lowered, would lock its caller out longer than a full one.
    usage.level = Math.min(rule.capacity, Math.max(usage.level, other.level));
    return;
  }
  if (other.since !== usage.since) return;
  usage.level = Math.max(usage.level, other.level);
  usage.before = Math.max(usage.before, other.before);
}
