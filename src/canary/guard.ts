// Parses guards: the limits that a candidate must keep. `errors<1%` is absolute, `p99<1.2x` is relative to the
// baseline.
import { z } from "zod";

/** Shares of requests first, then times. */
const guardedFigures = [
  "errors",
  "sidecar-errors",
  "service-errors",
  "denied",
  "401",
  "403",
  "429",
  "refused",
  "p50",
  "p99",
] as const;
export const maxGuards = 16;

export const guardSchema = z.strictObject({
  figure: z.enum(guardedFigures),
  /** Unit of `below`: `share` of requests (0 to 1), `ms`, or `times` the baseline's figure. */
  unit: z.enum(["share", "ms", "times"]),
  below: z.number().positive().max(1e9),
});
export type Guard = z.output<typeof guardSchema>;

export const defaultGuards = "errors<2x,denied<2x,p99<2x";

const isTime = (figure: string): boolean => figure.startsWith("p");
const units = { "%": "share", ms: "ms", s: "ms", x: "times" } as const;
const factors = { "%": 0.01, ms: 1, s: 1_000, x: 1 } as const;

/** @returns the guards; a text = what is wrong with the input */
export function parseGuards(text: string): readonly Guard[] | string {
  const parts = text.split(",").map((each) => each.trim());
  if (parts.length > maxGuards) return `at most ${maxGuards} guards`;
  const guards: Guard[] = [];
  for (const part of parts) {
    const [, figure = "", number = "", unit = ""] =
      /^([a-z0-9-]+)\s*<\s*(\d{1,9}(?:\.\d{1,6})?)(%|ms|s|x)$/.exec(part) ?? [];
    const known = guardedFigures.find((each) => each === figure);
    if (known === undefined || !isUnit(unit))
      return `"${part}" is no guard: they are ${guardedFigures.join(", ")}, each with < and 1%, 1.2x or, of p50 and p99, 250ms`;
    if (isTime(known) ? unit === "%" : unit === "ms" || unit === "s")
      return `"${part}": ${isTime(known) ? "a time has ms, s or x" : "a share of requests has % or x"}`;
    const below = Number(number) * factors[unit];
    if (below <= 0) return `"${part}" would always be broken`;
    guards.push({ figure: known, unit: units[unit], below });
  }
  return guards;
}

const isUnit = (text: string): text is keyof typeof units => Object.hasOwn(units, text);

export function guardText({ figure, unit, below }: Guard): string {
  const number = Number((unit === "share" ? below * 100 : below).toFixed(6));
  return `${figure}<${number}${{ share: "%", ms: "ms", times: "x" }[unit]}`;
}
