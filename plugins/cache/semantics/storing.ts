// Decides whether a response may be stored and for whom, and makes the entry (RFC 9111 sections 3, 3.1, 3.5).
import { hopByHopFields } from "../../../src/language/field-sets.ts";
import { fieldKey, type Fields } from "../../../src/plugin-api/contract.ts";
import { parseResponseDirectives, parseTargetedDirectives, type ResponseDirectives } from "./directives.ts";
import type { EntryFacts } from "../store/entry.ts";
import {
  dateOf,
  heuristicStatuses,
  initialAgeMs,
  lifetimeOf,
  type Lifetime,
  type LifetimePolicy,
} from "./freshness.ts";
import { formatHttpDate } from "./httpdate.ts";
import { noNames, varyNames, varyValues } from "./vary.ts";

/** The policy's options on storing. */
export interface StorePolicy extends LifetimePolicy {
  readonly scope: "auto" | "shared" | "identity";
  readonly targets: readonly string[];
  readonly staleWhileRevalidateSeconds: number;
  readonly staleIfErrorSeconds: number;
}

/** Look-up of fields by name. */
export type FieldValues = Pick<Fields, "get">;

/** Facts about the request that the decision needs. */
export interface StoreRequest {
  readonly url: string;
  /** Partition that all callers share, and the caller's own; equal when the caller is not identified. */
  readonly sharedPartition: string;
  readonly ownPartition: string;
  readonly identified: boolean;
  /** Authorization or another credential except a cookie: an API key, a client certificate. */
  readonly hasAuthorization: boolean;
  /** Any credential, cookies included: the answer may be for this client only, even if the response does not say so. */
  readonly hasCredentials: boolean;
  readonly noStore: boolean;
  readonly requestTimeMs: number;
  /** The request's fields at look-up, and as forwarded. */
  readonly lookupFields: FieldValues;
  readonly forwardedFields: Fields;
}

export interface StoreInput {
  readonly request: StoreRequest;
  readonly status: number;
  /** As received; not changed here. */
  readonly fields: Fields;
  readonly responseTimeMs: number;
  readonly tags: readonly string[];
  readonly policy: StorePolicy;
}

/** Why a response is not stored, as a short word. */
export type Refusal =
  | "status"
  | "no-store"
  | "private"
  | "set-cookie"
  | "authorization"
  | "credentials"
  | "vary"
  | "personal"
  | "failed-open"
  | "no-lifetime";

/** An entry whose body is not there yet. */
export type Draft = EntryFacts;

/** Statuses whose caching rules this cache implements (must-understand, RFC 9111 section 5.2.2.3). */
const understood = new Set([200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 501]);

/** @returns the directives in force: those of the first valid targeted field, else those of Cache-Control */
export function effectiveDirectives(
  fields: Fields,
  targets: readonly string[],
): { directives: ResponseDirectives; targeted: boolean } {
  for (const target of targets) {
    const value = fields.get(target);
    const directives = value === undefined ? undefined : parseTargetedDirectives(value);
    if (directives !== undefined) return { directives, targeted: true };
  }
  return { directives: parseResponseDirectives(fields.get("cache-control")), targeted: false };
}

/** @returns the entry without its body, or why the response is not stored */
export function draftEntry(input: StoreInput): Draft | Refusal {
  const { request, fields, policy, status } = input;
  const { directives, targeted } = effectiveDirectives(fields, policy.targets);
  const names = varyNames(fields);
  if (names === "*") return "vary";
  const { responseTimeMs } = input;
  const lifetime = lifetimeOf({ status, fields, directives, targeted, responseTimeMs, policy });
  const refusal = forbidden(input, directives, lifetime);
  if (refusal !== undefined) return refusal;
  const shared = isShared(request, directives, policy);
  // A field that was set or changed behind this plugin is not seen at look-up, so every request would seem to match.
  const unseen = names.some(
    (name) => !inUrlKey.has(name) && request.lookupFields.get(name) !== request.forwardedFields.get(name),
  );
  if (unseen && (shared || !request.identified)) return "vary";
  const draft = makeDraft(input, directives, lifetime, names);
  draft.partition = shared ? request.sharedPartition : request.ownPartition;
  const validatable = draft.etag !== undefined || draft.lastModified !== undefined;
  const lived = (input.responseTimeMs - draft.bornAt) / 1000;
  const useful = lifetime.seconds > lived && !draft.alwaysValidate;
  const stale = draft.staleIfErrorMs > 0 || draft.staleWhileRevalidateMs > 0;
  if (!useful && !validatable && !stale) return "no-lifetime";
  // Section 3: without an explicit lifetime, only the heuristically cacheable statuses may be stored.
  if (lifetime.source === "none" && !directives.isPublic && !heuristicStatuses.has(status))
    return "no-lifetime";
  return draft;
}

/** Fields that the proxy sets from values that the URL key already holds. */
const inUrlKey = new Set(["host", "x-forwarded-host", "x-forwarded-proto"]);

/**
 * Statuses of answers to one request alone: partial responses, 304, and errors caused by fields that are not in the key
 * (Range, preconditions, Expect, fields that are too long). If they were stored, a stranger could send them to all.
 */
const ofOneRequest = new Set([206, 304, 412, 416, 417, 431]);

export function isStorableStatus(status: number): boolean {
  return status >= 200 && !ofOneRequest.has(status);
}

function forbidden(
  { request, fields, policy, status }: StoreInput,
  directives: ResponseDirectives,
  lifetime: Lifetime,
): Refusal | undefined {
  if (!isStorableStatus(status)) return "status";
  const ignoresNoStore = directives.mustUnderstand && understood.has(status);
  if (directives.mustUnderstand && !ignoresNoStore) return "status";
  if (request.noStore || (directives.noStore && !ignoresNoStore)) return "no-store";
  if (directives.isPrivate) return "private";
  if (fields.has("set-cookie")) return "set-cookie";
  // An identified caller's own partition covers every other credential that the service saw, so storing there is safe.
  if (!isShared(request, directives, policy)) return undefined;
  const { isPublic, mustRevalidate, sMaxAge } = directives;
  if (request.hasAuthorization && !isPublic && !mustRevalidate && sMaxAge === undefined)
    return "authorization";
  const spoken = isPublic || sMaxAge !== undefined || lifetime.source === "origin";
  return request.hasCredentials && !spoken && policy.scope !== "shared" ? "credentials" : undefined;
}

function isShared(request: StoreRequest, directives: ResponseDirectives, policy: StorePolicy): boolean {
  if (!request.identified || policy.scope === "shared") return true;
  return policy.scope === "auto" && (directives.isPublic || directives.sMaxAge !== undefined);
}

function makeDraft(
  { request, status, fields, responseTimeMs, tags, policy }: StoreInput,
  directives: ResponseDirectives,
  lifetime: Lifetime,
  vary: readonly string[],
): Draft & { partition: string } {
  const bornAt = responseTimeMs - initialAgeMs(fields, request.requestTimeMs, responseTimeMs);
  const overridden = !policy.respectOrigin && lifetime.source === "policy";
  const alwaysValidate = directives.noCache && !overridden;
  const mayServeStale =
    !alwaysValidate &&
    !directives.mustRevalidate &&
    !directives.proxyRevalidate &&
    directives.sMaxAge === undefined;
  const stale = (told: number | undefined, policySeconds: number): number =>
    mayServeStale ? (told ?? policySeconds) * 1000 : 0;
  return {
    url: request.url,
    partition: request.sharedPartition,
    status,
    fields: storedFields(fields, directives, policy.targets, responseTimeMs),
    etag: fields.get("etag"),
    lastModified: fields.get("last-modified"),
    dateMs: dateOf(fields, responseTimeMs),
    bornAt,
    requestedAt: request.requestTimeMs,
    // An overriding lifetime of the policy counts from the answer's arrival; any other counts from when it was made.
    freshUntil: (overridden ? responseTimeMs : bornAt) + lifetime.seconds * 1000,
    // The policy extends a lifetime; it does not create one.
    staleWhileRevalidateMs: stale(
      directives.staleWhileRevalidate,
      lifetime.seconds > 0 ? policy.staleWhileRevalidateSeconds : 0,
    ),
    staleIfErrorMs: stale(directives.staleIfError, policy.staleIfErrorSeconds),
    mayServeStale,
    alwaysValidate,
    immutable: directives.immutable,
    forAnyone: directives.isPublic || directives.sMaxAge !== undefined || policy.scope === "shared",
    implicit: lifetime.source !== "origin" && policy.scope !== "shared",
    vary,
    varyValues: varyValues(vary, request.lookupFields),
    tags,
  };
}

/** RFC 9111 section 3.1, RFC 9110 section 7.6.1. Age is computed for each use, Content-Length from the body. */
const neverStored = new Set([
  ...hopByHopFields,
  "age",
  "cache-status",
  "content-length",
  "proxy-authentication-info",
  "trailer",
  "x-cache",
]);

/** @returns the fields to store: name, value, …; a missing Date is set to the time of arrival */
export function storedFields(
  fields: Fields,
  directives: ResponseDirectives,
  targets: readonly string[],
  responseTimeMs: number,
): string[] {
  const { noCacheFields, privateFields } = directives;
  const connection = fields.get("connection");
  const named =
    connection === undefined ? noNames : connection.split(",").map((name) => fieldKey(name.trim()));
  // A first target `outrigger…` is for this sidecar alone; the other targets may also be for caches in front of it.
  const own = targets[0]?.startsWith("outrigger") === true ? targets[0] : "";
  const kept: string[] = [];
  let dated = false;
  fields.forEach((lower, value, name) => {
    if (neverStored.has(lower) || lower === own || named.includes(lower)) return;
    if (noCacheFields.includes(lower) || privateFields.includes(lower)) return;
    if (lower === "date") dated = true;
    kept.push(name, value);
  });
  if (!dated && !fields.has("date")) kept.push("Date", formatHttpDate(responseTimeMs));
  // `slice` makes an array of the exact size; an array that grows has room for at least seventeen.
  return kept.slice();
}
