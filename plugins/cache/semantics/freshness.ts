// Computes how long a response is fresh and how old it is when it arrives (RFC 9111 section 4.2). Pure arithmetic.
import type { Fields } from "../../../src/plugin-api/contract.ts";
import type { ResponseDirectives } from "./directives.ts";
import { parseHttpDate } from "./httpdate.ts";

/** The policy's options on lifetimes, in seconds. */
export interface LifetimePolicy {
  readonly ttlSeconds: number;
  readonly respectOrigin: boolean;
  readonly negativeTtlSeconds: Readonly<Record<string, number | undefined>>;
}

/** Where a lifetime comes from. */
export type LifetimeSource = "origin" | "policy" | "heuristic" | "none";

export interface Lifetime {
  readonly seconds: number;
  readonly source: LifetimeSource;
}

/** Statuses that allow a heuristic lifetime (RFC 9110 section 15.1), without 206: partial responses are not stored. */
export const heuristicStatuses = new Set([200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501]);
/** Statuses to which `ttlSeconds` applies. Errors have their own option, so that none is stored by surprise. */
const policyStatuses = new Set([200, 203, 204, 300, 301, 308]);
const heuristicShare = 0.1;
const maxHeuristicSeconds = 86_400;

export interface LifetimeInput {
  readonly status: number;
  readonly fields: Fields;
  readonly directives: ResponseDirectives;
  /** Whether a targeted field stands in for Cache-Control and Expires (RFC 9213 section 2.2). */
  readonly targeted: boolean;
  readonly responseTimeMs: number;
  readonly policy: LifetimePolicy;
}

/** Computes the freshness lifetime (section 4.2.1) from the upstream's fields, the policy or a heuristic. */
export function lifetimeOf(input: LifetimeInput): Lifetime {
  const { policy, status } = input;
  if (!policy.respectOrigin && policy.ttlSeconds > 0 && policyStatuses.has(status)) {
    return { seconds: policy.ttlSeconds, source: "policy" };
  }
  const told = originSeconds(input);
  if (told !== undefined) return { seconds: told, source: "origin" };
  const negative = policy.negativeTtlSeconds[status];
  if (negative !== undefined) return { seconds: negative, source: "policy" };
  if (policy.ttlSeconds > 0 && policyStatuses.has(status)) {
    return { seconds: policy.ttlSeconds, source: "policy" };
  }
  if (!heuristicStatuses.has(status) && !input.directives.isPublic) return { seconds: 0, source: "none" };
  return heuristic(input);
}

function originSeconds(input: LifetimeInput): number | undefined {
  const { directives, fields, targeted, responseTimeMs } = input;
  if (directives.sMaxAge !== undefined) return directives.sMaxAge;
  if (directives.maxAge !== undefined) return directives.maxAge;
  if (targeted) return undefined;
  const lines = fields.getAll("expires");
  if (lines.length === 0) return undefined;
  const expires = parseHttpDate(lines[0] as string, responseTimeMs);
  // An invalid Expires, such as "0", means already expired; several different ones mean stale (sections 4.2.1, 5.3).
  if (expires === undefined || lines.some((line) => line !== lines[0])) return 0;
  return Math.max(0, (expires - dateOf(fields, responseTimeMs)) / 1000);
}

function heuristic({ fields, responseTimeMs }: LifetimeInput): Lifetime {
  const lastModified = fields.get("last-modified");
  const modified = lastModified === undefined ? undefined : parseHttpDate(lastModified, responseTimeMs);
  if (modified === undefined) return { seconds: 0, source: "none" };
  const unchanged = (dateOf(fields, responseTimeMs) - modified) / 1000;
  const seconds = Math.min(Math.max(0, unchanged * heuristicShare), maxHeuristicSeconds);
  return { seconds, source: "heuristic" };
}

/** @returns Date of a response, epoch ms; its time of arrival if Date is absent or invalid (RFC 9110 section 6.6.1) */
export function dateOf(fields: Fields, responseTimeMs: number): number {
  const date = fields.get("date");
  return (date === undefined ? undefined : parseHttpDate(date, responseTimeMs)) ?? responseTimeMs;
}

/**
 * Computes the corrected initial age (section 4.2.3) in milliseconds.
 * @param requestTimeMs when the upstream was asked, epoch ms
 * @param responseTimeMs when the response arrived, epoch ms
 */
export function initialAgeMs(fields: Fields, requestTimeMs: number, responseTimeMs: number): number {
  const apparent = Math.max(0, responseTimeMs - dateOf(fields, responseTimeMs));
  const delay = Math.max(0, responseTimeMs - requestTimeMs);
  return Math.max(apparent, ageSeconds(fields) * 1000 + delay);
}

/** Reads Age, in seconds. The first member of a list counts; an invalid one counts as 0 (RFC 9111 section 5.1). */
function ageSeconds(fields: Fields): number {
  const line = fields.getAll("age")[0];
  if (line === undefined) return 0;
  const first = (line.split(",")[0] as string).trim();
  return /^\d+$/.test(first) ? Math.min(Number(first), 2_147_483_648) : 0;
}
