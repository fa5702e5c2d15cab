// The three ways of counting, as pure functions over one small record. script.ts holds the same arithmetic in Lua;
// one behavioural suite runs over both. Times are milliseconds, amounts are permits.
import type { Window } from "../../../src/language/duration.ts";
import { windowEnd, windowStart } from "./window.ts";

export type Algorithm = "gcra" | "sliding" | "fixed";

/** What a limit allows, in the numbers that the algorithms take. */
export interface Rule {
  readonly algorithm: Algorithm;
  /** Most permits out at once: the burst of gcra, the limit of the others. */
  readonly capacity: number;
  /** Permits that come back per millisecond (gcra). */
  readonly perMs: number;
  readonly window: Window;
}

/**
 * What one caller has used.
 * gcra: `level` permits were out at `since` and drain at the rule's rate: the continuous-state form of the algorithm
 * (ITU-T I.371 annex A), which counts permits and so keeps its meaning when the rate changes.
 * fixed: `level` permits in the window that began at `since`. sliding: the same, and `before` in the window before it.
 */
export interface Usage {
  level: number;
  since: number;
  before: number;
}

/** Rounding of doubles must not cost a caller the permit that is due at this very moment. */
const epsilon = 1e-9;

export function emptyUsage(): Usage {
  return { level: 0, since: 0, before: 0 };
}

/** Brings the record to `nowMs`. A clock that went back frees nothing and locks nobody out: what is out stays out, from now on. */
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

/** Permits free at `nowMs`, after `roll`; a fraction where the algorithm is smooth. */
export function free(usage: Usage, rule: Rule, nowMs: number): number {
  const used = rule.algorithm === "sliding" ? usage.level + faded(usage, rule, nowMs) : usage.level;
  return rule.capacity - used + epsilon;
}

/** The share of the bucket before this one that still counts. */
function faded(usage: Usage, rule: Rule, nowMs: number): number {
  return usage.before * (1 - (nowMs - usage.since) / rule.window.ms);
}

/** Milliseconds until `amount` permits are free if nobody takes any; a whole window when they never are. After `roll`. */
export function waitMs(usage: Usage, rule: Rule, nowMs: number, amount: number): number {
  const missing = amount - free(usage, rule, nowMs);
  if (missing <= 0) return 0;
  if (amount > rule.capacity) return rule.window.ms;
  if (rule.algorithm === "gcra") return missing / rule.perMs;
  const endMs = windowEnd(rule.window, usage.since) - nowMs;
  if (rule.algorithm === "fixed") return endMs;
  if (usage.level + amount <= rule.capacity) return (missing / usage.before) * rule.window.ms;
  // Not before this bucket has become the one before, and has faded enough.
  return endMs + (1 - (rule.capacity - amount) / usage.level) * rule.window.ms;
}

/** Milliseconds until one permit more than now is free: the draft's reset parameter; 0 when all are free. After `roll`. */
export function resetMs(usage: Usage, rule: Rule, nowMs: number): number {
  const next = Math.floor(free(usage, rule, nowMs)) + 1;
  return next > rule.capacity ? 0 : waitMs(usage, rule, nowMs, next);
}

/** Counts what another record of the same caller says: its usage under a limit's former numbers. */
export function merge(usage: Usage, rule: Rule, other: Usage): void {
  if (rule.algorithm === "gcra") {
    // A bucket that overflowed because it became smaller would lock its caller out for longer than a full one.
    usage.level = Math.min(rule.capacity, Math.max(usage.level, other.level));
    return;
  }
  if (other.since !== usage.since) return;
  usage.level = Math.max(usage.level, other.level);
  usage.before = Math.max(usage.before, other.before);
}
