// Windows as the policy writes them (`1s` … `1h`, `1d`, `1M`) and where calendar-aligned ones begin and end, in UTC.
import { parseDuration } from "../../../src/language/duration.ts";

/** A parsed window. */
export interface Window {
  /** Its length in milliseconds; a month counts as 30 days wherever a fixed length is needed. */
  readonly ms: number;
  /** Whether it is the calendar month, whose length varies. */
  readonly monthly: boolean;
}

export const windowPattern = /^(?:[1-9]\d{0,4}s|[1-9]\d{0,3}m|[1-9]\d{0,2}h|[1-9]\d?d|1M)$/;

const monthMs = 30 * 86_400_000;

/** @param text matches `windowPattern`; throws a RangeError otherwise */
export function parseWindow(text: string): Window {
  const monthly = text === "1M";
  const ms = monthly ? monthMs : parseDuration(text);
  if (ms === undefined || !windowPattern.test(text)) throw new RangeError("not a window");
  return { ms, monthly };
}

/** Start of the aligned window that holds `epochMs`. Whole windows are counted from the epoch, so days start at midnight UTC. */
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
