// What the cache needs to know of a request, read in one pass over its fields.
import type { Exchange, Fields } from "../../src/pipeline/contract.ts";
import { parseRequestDirectives, type RequestDirectives } from "./directives.ts";

/** A request as the cache sees it. */
export interface CacheRequest {
  /** undefined = the request has no Cache-Control (and no Pragma: no-cache). */
  readonly directives: RequestDirectives | undefined;
  readonly range: string | undefined;
  readonly ifRange: string | undefined;
  readonly ifNoneMatch: string | undefined;
  readonly ifModifiedSince: string | undefined;
  readonly hasAuthorization: boolean;
  /** Authorization, Cookie or an API key. */
  readonly hasCredentials: boolean;
  /** If-Match or If-Unmodified-Since: for the upstream alone. */
  readonly needsUpstream: boolean;
  /** Unkeyed inputs by which caches are poisoned, as text for the key; "" for nearly every request. */
  readonly keyedFields: string;
}

interface Scratch extends Omit<{ -readonly [Key in keyof CacheRequest]: CacheRequest[Key] }, "directives"> {
  directives: RequestDirectives | undefined;
  control: string | undefined;
  pragma: boolean;
}

const nothing: CacheRequest = {
  directives: undefined,
  range: undefined,
  ifRange: undefined,
  ifNoneMatch: undefined,
  ifModifiedSince: undefined,
  hasAuthorization: false,
  hasCredentials: false,
  needsUpstream: false,
  keyedFields: "",
};

// Filled and emptied within one call, so that a request without any of these fields allocates nothing.
let scratch: Scratch | undefined;
const open = (): Scratch => (scratch ??= { ...nothing, control: undefined, pragma: false });

/** Reads the fields. */
export function readCacheRequest(fields: Fields): CacheRequest {
  fields.forEach(visit);
  const found: Scratch | undefined = scratch;
  scratch = undefined;
  if (found === undefined) return nothing;
  if (found.control !== undefined) found.directives = parseRequestDirectives(found.control);
  // RFC 9111 section 5.4: only where there is no Cache-Control.
  else if (found.pragma) found.directives = parseRequestDirectives("no-cache");
  return found;
}

function visit(lower: string, value: string): void {
  switch (lower) {
    case "cache-control":
      open().control = joined(scratch?.control, value);
      return;
    case "pragma":
      if (/^no-cache$/i.test(value.trim())) open().pragma = true;
      return;
    case "range":
      open().range = joined(scratch?.range, value);
      return;
    case "if-range":
      open().ifRange = joined(scratch?.ifRange, value);
      return;
    case "if-none-match":
      open().ifNoneMatch = joined(scratch?.ifNoneMatch, value);
      return;
    case "if-modified-since":
      open().ifModifiedSince = joined(scratch?.ifModifiedSince, value);
      return;
    case "if-match":
    case "if-unmodified-since":
      open().needsUpstream = true;
      return;
    case "authorization":
      open().hasAuthorization = true;
      open().hasCredentials = true;
      return;
    case "cookie":
    case "x-api-key":
    case "x-auth-token":
      open().hasCredentials = true;
      return;
    default:
      if (poisonous.has(lower)) open().keyedFields += `\n${lower}:${value}`;
  }
}

function joined(before: string | undefined, value: string): string {
  return before === undefined ? value : `${before}, ${value}`;
}

/** Fields that services act on though no cache key knows them; here they are part of the key. (Forwarded names the client.) */
const poisonous = new Set([
  "x-forwarded-host",
  "x-forwarded-port",
  "x-forwarded-prefix",
  "x-forwarded-proto",
  "x-forwarded-scheme",
  "x-forwarded-server",
  "x-forwarded-ssl",
  "x-host",
  "x-http-host-override",
  "x-http-method",
  "x-http-method-override",
  "x-method-override",
  "x-original-host",
  "x-original-url",
  "x-rewrite-url",
  "front-end-https",
]);

/** Requests that neither use nor fill the cache: other methods, upgrades, and a GET with a body. */
export function isCacheable(exchange: Exchange): boolean {
  const { method, hasBody, upgrade } = exchange.request;
  return (method === "GET" || method === "HEAD") && !hasBody && upgrade === undefined;
}
