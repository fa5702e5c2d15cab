// Decides whether one limit always refuses before another. It compares how many requests each lets through in any
// interval of length t: at most `most + perMs × t`.
import type { LimitOptions } from "./options.ts";
import { parseWindow } from "../../src/language/duration.ts";

const maxMonthMs = 31 * 86_400_000;

interface Bound {
  readonly most: number;
  readonly perMs: number;
}

/** Window algorithms let up to twice the limit through around the turn of a window. */
function boundOf({ algorithm, limit, burst, window, cost }: LimitOptions): Bound {
  const most = algorithm === "gcra" ? (burst ?? limit) : 2 * limit;
  return { most: most / cost, perMs: limit / parseWindow(window).ms / cost };
}

/** @returns whether `other` never refuses a request that `strict` lets through; both must count the same requests */
export function isStricter(strict: LimitOptions, other: LimitOptions): boolean {
  // A region that is cut off lets no more than its share through.
  if (other.regions !== undefined) return false;
  // Both windows turn at the same moments, so the numbers alone decide.
  if (strict.algorithm === other.algorithm && strict.window === other.window && strict.algorithm !== "gcra")
    return strict.limit / strict.cost <= other.limit / other.cost;
  // Months differ in length.
  if (parseWindow(strict.window).monthly) return false;
  const bound = boundOf(strict);
  if (other.algorithm !== "gcra") {
    const { ms, monthly } = parseWindow(other.window);
    return bound.most + bound.perMs * (monthly ? maxMonthMs : ms) <= other.limit / other.cost;
  }
  const room = boundOf(other);
  return bound.most <= room.most && bound.perMs <= room.perMs;
}
