// Reads durations: as commands write them (`90d`, `24h`, `30m`, `45s`), as policies write windows (the same, and `1M`
// for the calendar month), and as numbers whose option name holds the unit (`timeoutMs`, `cacheSeconds`).
import { z } from "zod";
import { term } from "./terms.ts";

const unitMs: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const maxMs = 36_525 * 86_400_000;

/** @returns milliseconds; undefined when the text is no duration or longer than a hundred years */
export function parseDuration(text: string): number | undefined {
  const [, digits = "", unit = ""] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  const ms = Number(digits) * (unitMs[unit] ?? NaN);
  return Number.isNaN(ms) || ms > maxMs ? undefined : ms;
}

/** Writes milliseconds in the largest unit that fits, rounded down: `3h`, `12d`. */
export function durationText(ms: number): string {
  const unit = (["d", "h", "m"] as const).find((each) => ms >= (unitMs[each] as number)) ?? "s";
  return `${Math.floor(Math.max(0, ms) / (unitMs[unit] as number))}${unit}`;
}

/** Schema for a number of milliseconds. */
export function milliseconds(min: number, max: number): z.ZodInt {
  return term("milliseconds", z.int().min(min).max(max));
}

/** Schema for a number of seconds. */
export function seconds(min: number, max = Number.MAX_SAFE_INTEGER): z.ZodInt {
  return term("seconds", z.int().min(min).max(max));
}

/** A parsed window. */
export interface Window {
  /** Its length in milliseconds; a month counts as 30 days wherever a fixed length is needed. */
  readonly ms: number;
  /** Whether it is the calendar month, whose length varies. */
  readonly monthly: boolean;
}

const windowPattern = /^(?:[1-9]\d{0,4}s|[1-9]\d{0,3}m|[1-9]\d{0,2}h|[1-9]\d?d|1M)$/;
const maxWindowMs = 31 * 86_400_000;

/** A duration in which something is counted. */
export const windowLength = term(
  "window",
  z
    .string()
    .regex(windowPattern, "expected 1s … 99999s, 1m, 1h, 1d or 1M")
    .refine((text) => (tryWindow(text)?.ms ?? 0) <= maxWindowMs, { message: "longer than 31 days" }),
);

/** @returns undefined when the text is no window */
export function tryWindow(text: string): Window | undefined {
  if (!windowPattern.test(text)) return undefined;
  if (text === "1M") return { ms: 30 * 86_400_000, monthly: true };
  const ms = parseDuration(text);
  return ms === undefined ? undefined : { ms, monthly: false };
}

/** @throws RangeError when the text is no window */
export function parseWindow(text: string): Window {
  const window = tryWindow(text);
  if (window === undefined) throw new RangeError("not a window");
  return window;
}
