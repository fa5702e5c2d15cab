// Lengths of time as policies and commands write them: `90d`, `24h`, `30m`, `45s`.

const unitMs: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** @returns milliseconds; undefined for whatever is no such length or longer than a hundred years */
export function parseDuration(text: string): number | undefined {
  const [, digits = "", unit = ""] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  const ms = Number(digits) * (unitMs[unit] ?? NaN);
  return Number.isNaN(ms) || ms > 36_525 * 86_400_000 ? undefined : ms;
}

/** The largest unit that fits, rounded down: `3h`, `12d`. */
export function durationText(ms: number): string {
  const unit = (["d", "h", "m"] as const).find((each) => ms >= (unitMs[each] as number)) ?? "s";
  return `${Math.floor(Math.max(0, ms) / (unitMs[unit] as number))}${unit}`;
}
