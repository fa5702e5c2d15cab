// Decides whether a stored response may answer a request (RFC 9111 sections 4, 4.2.4, 5.2.1). The common case, a
// request without directives, needs only comparisons of numbers.
import type { RequestDirectives } from "./directives.ts";
import type { Entry } from "../store/entry.ts";

/**
 * `fresh`: serve it. `stale`: serve it, the client allows that. `revalidating`: serve it and refresh it in the
 * background. `validate`: ask the upstream first.
 */
export type Reuse = "fresh" | "stale" | "revalidating" | "validate";

/** Largest difference assumed between the clocks of sidecars that share entries. */
const clockSkewMs = 1_000;

export function reuseOf(entry: Entry, directives: RequestDirectives | undefined, nowMs: number): Reuse {
  // An entry requested in the future: the clock was set back, which would keep the entry fresh for that much longer.
  if (entry.alwaysValidate || entry.requestedAt > nowMs + clockSkewMs) return "validate";
  const fresh = nowMs < entry.freshUntil;
  if (directives !== undefined) {
    const narrowed = narrow(entry, directives, nowMs, fresh);
    if (narrowed !== undefined) return narrowed;
  }
  if (fresh) return "fresh";
  return nowMs < entry.freshUntil + entry.staleWhileRevalidateMs ? "revalidating" : "validate";
}

function narrow(entry: Entry, asked: RequestDirectives, nowMs: number, fresh: boolean): Reuse | undefined {
  if (asked.noCache) return "validate";
  const ageMs = nowMs - entry.bornAt;
  // RFC 8246: a reload (max-age=0) does not validate a fresh immutable response.
  const reload = asked.maxAge === 0 && entry.immutable && fresh;
  if (asked.maxAge !== undefined && ageMs > asked.maxAge * 1000 && !reload) return "validate";
  if (asked.maxAge === 0 && !reload) return "validate";
  if (asked.minFresh !== undefined && entry.freshUntil - nowMs < asked.minFresh * 1000) return "validate";
  if (fresh || asked.maxStale === undefined || !entry.mayServeStale) return undefined;
  return nowMs - entry.freshUntil <= asked.maxStale * 1000 ? "stale" : undefined;
}

/** Whether a stale response may stand in for a failure (RFC 5861 section 4, RFC 9111 section 4.2.4). */
export function mayServeOnError(
  entry: Entry,
  directives: RequestDirectives | undefined,
  nowMs: number,
): boolean {
  if (!entry.mayServeStale) return false;
  const askedMs = (directives?.staleIfError ?? 0) * 1000;
  return nowMs < entry.freshUntil + Math.max(entry.staleIfErrorMs, askedMs);
}

/** @returns value of Age in seconds (RFC 9111 section 5.1), not negative even if the clock was set back */
export function ageSeconds(entry: Entry, nowMs: number): number {
  return Math.max(0, Math.floor((nowMs - entry.bornAt) / 1000));
}
