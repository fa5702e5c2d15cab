// Conditional requests, both ways: what a client's preconditions say of a stored response (RFC 9110 section 13), our
// own towards the upstream (RFC 9111 section 4.3.1), and what a 304 changes in a stored response (section 3.2).
import { fieldKey, Fields, pairsOf } from "../../../src/plugin-api/contract.ts";
import { sizeOf } from "../store/body-copy.ts";
import type { Entry } from "../store/entry.ts";
import { formatHttpDate, parseHttpDate } from "./httpdate.ts";

/** A client's preconditions that a cache may answer; If-Match and If-Unmodified-Since are the upstream's. */
export interface Preconditions {
  readonly ifNoneMatch: string | undefined;
  readonly ifModifiedSince: string | undefined;
}

/** @returns true: the client has this response already, 304 is the answer (RFC 9110 section 13.2.2) */
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

/** Weak comparison of an entity tag with a list (RFC 9110 section 8.8.3.2). */
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

/** Puts our validators in place of the client's preconditions, which are answered from the outcome. */
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
 * Fields of the stored response freshened by those of a 304 (or of a response to HEAD).
 * @returns undefined when its strong entity tag is not ours: it says nothing of this response (section 4.3.4)
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
  // Age of the old response says nothing of the validated one.
  if (!replaced.has("age")) merged.delete("age");
  // RFC 9110 section 6.6.1: the time of arrival, not the date of the response that is freshened.
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

/** Fields of a 304 made from a stored response (RFC 9110 section 15.4.5). */
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
