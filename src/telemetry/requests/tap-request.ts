// Parses the parameters of a tap: which exchanges it wants, and for how long.
import { z } from "zod";
import { parseDuration } from "../../language/duration.ts";
import { parseStatuses } from "../../language/statuses.ts";

const shareText = "sample takes a share such as 10% or 0.1, of all at most";
const rateText = "rate takes a number a second, 1 to 500";
const timeText = "for takes a time such as 30s or 10m, 1h at most";

/** The form in which it goes from process to process. */
export const tapRequest = z.strictObject({
  /** Path of a route, as in the policy. */
  route: z
    .string()
    .max(8_192, "route takes the path of a route, of 8,192 characters at most")
    .exactOptional(),
  /** `5xx`, `404`, `400-499`, several with commas. */
  status: z
    .string()
    .max(256)
    .refine(
      (text) => parseStatuses(text) !== undefined,
      "status takes 5xx, 404 or 400-499, several with commas",
    )
    .exactOptional(),
  /** Share of the exchanges, 0 to 1. */
  sample: z.number(shareText).min(0, shareText).max(1, shareText),
  /** Most exchanges a second from each process. */
  perSecond: z.int(rateText).min(1, rateText).max(500, rateText),
  /** After this time the tap ends by itself. */
  forMs: z.int(timeText).min(1, timeText).max(3_600_000, timeText),
});

export type TapRequest = z.output<typeof tapRequest>;

const defaults = { sample: 1, perSecond: 50, forMs: 600_000 };

/** @throws Error that says what is wrong with the parameters */
export function readTapRequest(query: URLSearchParams): TapRequest {
  const known = new Set(["route", "status", "sample", "rate", "for"]);
  for (const name of query.keys()) if (!known.has(name)) throw new Error(`There is no parameter ${name}.`);
  const route = query.get("route");
  const status = query.get("status");
  const { data, error } = tapRequest.safeParse({
    ...(route !== null && { route }),
    ...(status !== null && { status }),
    sample: numberOr(query.get("sample"), defaults.sample, shareOf),
    perSecond: numberOr(query.get("rate"), defaults.perSecond, Number),
    forMs: numberOr(query.get("for"), defaults.forMs, (text) => parseDuration(text) ?? Number.NaN),
  });
  if (data !== undefined) return data;
  throw new Error([...new Set(error.issues.map(({ message }) => message))].join("; "));
}

function numberOr(text: string | null, fallback: number, parse: (text: string) => number): number {
  return text === null ? fallback : parse(text);
}

/** `10%` or `0.1`. */
function shareOf(text: string): number {
  const [, number = "", percent] = /^(\d{1,3}(?:\.\d{1,6})?)(%)?$/.exec(text) ?? [];
  return number === "" ? Number.NaN : Number(number) / (percent === undefined ? 1 : 100);
}
