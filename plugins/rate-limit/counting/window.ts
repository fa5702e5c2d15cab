// Computes where windows that are aligned with the calendar begin and end, in UTC.
import type { Window } from "../../../src/language/duration.ts";

/** Start of the window that holds `epochMs`. Windows are counted from the epoch, so days start at midnight UTC. */
export function windowStart(window: Window, epochMs: number): number {
  if (!window.monthly) return Math.floor(epochMs / window.ms) * window.ms;
  const date = new Date(epochMs);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1);
}

/** End of the window that starts at `startMs`. */
export function windowEnd(window: Window, startMs: number): number {
  if (!window.monthly) return startMs + window.ms;
  const date = new Date(startMs);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1);
}
