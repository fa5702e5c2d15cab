// Handles conditional requests: checks a client's preconditions against a stored response (RFC 9110 section 13), sends
// the cache's own to the upstream (RFC 9111 section 4.3.1), and updates a stored response from a 304 (section 3.2).
import { fieldKey, Fields, pairsOf } from "../../../src/plugin-api/contract.ts";
import { sizeOf } from "../store/body-copy.ts";
import type { Entry } from "../store/entry.ts";
import { formatHttpDate, parseHttpDate } from "./httpdate.ts";

/** A client's preconditions that a cache may answer. Only the upstream answers If-Match and If-Unmodified-Since. */
export interface Preconditions {
  readonly ifNoneMatch: string | undefined;
  readonly ifModifiedSince: string | undefined;
}

/** @returns whether the client has this response already, so that the answer is 304 (RFC 9110 section 13.2.2) */
export function isNotModified(
  entry: Entry,
  { ifNoneMatch, ifModifiedSince }: Preconditions,
  nowMs: number,
): boolean {
  if (entry.status !== 200) return false;
  if (ifNoneMatch !== undefined) return matchesAny(ifNoneMatch, entry.etag);
  if (ifModifiedSince === undefined) return false;
  const since = parseHttpDate(ifModifiedSince, nowMs);
  if (since === undefined) return false;
  const modified = entry.lastModified === undefined ? undefined : parseHttpDate(entry.lastModified, nowMs);
  return (modified ?? entry.dateMs) <= since;
}

/** Compares an entity tag with a list by weak comparison (RFC 9110 section 8.8.3.2). */
function matchesAny(list: string, etag: string | undefined): boolean {
  const value = list.trim();
  if (value === "*") return true;
  if (etag === undefined) return false;
  const opaque = withoutWeak(etag);
  if (withoutWeak(value) === opaque) return true;
  for (const match of value.matchAll(/(?:W\/)?"[^"]*"/g)) {
    if (withoutWeak(match[0]) === opaque) return true;
  }
  return false;
}

function withoutWeak(etag: string): string {
  return etag.startsWith("W/") ? etag.slice(2) : etag;
}

/** Replaces the client's preconditions by the entry's validators; the cache checks the client's against the outcome. */
export function askWithValidators(request: Fields, entry: Entry): void {
  request.delete("if-none-match");
  request.delete("if-modified-since");
  if (entry.etag !== undefined) request.set("If-None-Match", entry.etag);
  if (entry.lastModified !== undefined) request.set("If-Modified-Since", entry.lastModified);
}

/** Fields that describe the stored bytes, which a 304 does not replace. */
const boundToBody = new Set([
  "content-encoding",
  "content-length",
  "content-md5",
  "content-range",
  "digest",
  "content-digest",
  "repr-digest",
  "etag",
]);

/**
 * Updates the fields of a stored response from those of a 304 (or of a response to HEAD).
 * @returns undefined when the entity tags differ: the fields are about another response (section 4.3.4)
 */
export function mergeFields(entry: Entry, received: Fields, nowMs: number): Fields | undefined {
  const etag = received.get("etag");
  if (etag !== undefined && entry.etag !== undefined && !matchesAny(etag, entry.etag)) return undefined;
  const merged = new Fields(entry.fields);
  const replaced = new Set<string>();
  received.forEach((lower, value, name) => {
    if (boundToBody.has(lower)) return;
    if (!replaced.has(lower)) merged.delete(lower);
    replaced.add(lower);
    merged.append(name, value);
  });
  // The old response's Age does not apply to the validated one.
  if (!replaced.has("age")) merged.delete("age");
  // RFC 9110 section 6.6.1: without a Date, the time of arrival counts, not the Date of the stored response.
  if (!replaced.has("date")) merged.set("Date", formatHttpDate(nowMs));
  return merged;
}

/** Whether a response to HEAD still describes the stored one (section 4.3.5). */
export function describesSame(entry: Entry, received: Fields): boolean {
  const length = received.get("content-length");
  if (length !== undefined && length !== String(sizeOf(entry.body))) return false;
  const etag = received.get("etag");
  if (etag !== undefined && etag !== entry.etag) return false;
  const modified = received.get("last-modified");
  return modified === undefined || modified === entry.lastModified;
}

/** Picks the fields of a stored response that a 304 made from it has (RFC 9110 section 15.4.5). */
export function notModifiedFields(flat: readonly string[]): string[] {
  const kept: string[] = [];
  for (const [name, value] of pairsOf(flat)) {
    const lower = fieldKey(name);
    if (lower.startsWith("content-") && lower !== "content-location" && lower !== "content-security-policy")
      continue;
    kept.push(name, value);
  }
  return kept;
}
