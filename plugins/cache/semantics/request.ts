// Reads everything that the cache needs to know about a request, in one pass over its fields.
import {
  compileNameTest,
  credentialFields,
  overrideFields,
  toldOriginFields,
} from "../../../src/language/field-sets.ts";
import { fieldKey, type Exchange, type Fields } from "../../../src/plugin-api/contract.ts";
import { parseRequestDirectives, type RequestDirectives } from "./directives.ts";

/** A request as the cache sees it. */
export interface CacheRequest {
  /** undefined = the request has no Cache-Control (and no Pragma: no-cache). */
  readonly directives: RequestDirectives | undefined;
  readonly range: string | undefined;
  readonly ifRange: string | undefined;
  readonly ifNoneMatch: string | undefined;
  readonly ifModifiedSince: string | undefined;
  /** Whether Authorization, an API key or a client certificate is forwarded to the service. */
  readonly hasAuthorization: boolean;
  /** Those of these fields and cookies that are forwarded, as text for an identified caller's own key; "" for none. */
  readonly credentials: string;
  /** Whether the request has If-Match or If-Unmodified-Since, which only the upstream can answer. */
  readonly needsUpstream: boolean;
  /** Fields that are usually not keyed and by which caches are poisoned, as text for the key; "" for most requests. */
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
  credentials: "",
  needsUpstream: false,
  keyedFields: "",
};

// Set and cleared within one call, so that a request without any of these fields allocates nothing.
let scratch: Scratch | undefined;
const open = (): Scratch => (scratch ??= { ...nothing, control: undefined, pragma: false });

/**
 * Reads the fields.
 * @param further names of more fields that carry credentials on this route
 */
export function readCacheRequest(fields: Fields, further: readonly string[] = []): CacheRequest {
  fields.forEach(visit);
  for (const name of further) {
    const value = fields.get(name);
    if (value !== undefined && !isCredential(fieldKey(name))) noteCredential(fieldKey(name), value);
  }
  const found: Scratch | undefined = scratch;
  scratch = undefined;
  if (found === undefined) return nothing;
  if (found.control !== undefined) found.directives = parseRequestDirectives(found.control);
  // Pragma counts only if there is no Cache-Control (RFC 9111 section 5.4).
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
    case "forwarded":
      noteForwarded(value);
      return;
    case "cookie":
      open().credentials += `\ncookie:${value}`;
      return;
    default:
      if (isCredential(lower)) noteCredential(lower, value);
      else if (isPoisonous(lower)) open().keyedFields += `\n${lower}:${value}`;
  }
}

function noteCredential(lower: string, value: string): void {
  open().credentials += `\n${lower}:${value}`;
  open().hasAuthorization = true;
}

/** Only the client's and the proxies' addresses are left out: whatever else it says, a service may build links from. */
function noteForwarded(value: string): void {
  const told = value.replaceAll(node, "");
  if (/[^\s,;]/.test(told)) open().keyedFields += `\nforwarded:${told}`;
}

const node = /(?<=^|[\s,;])(?:for|by)=(?:"[\w.:[\]-]*"|[\w.:[\]-]*)(?=$|[\s,;])/gi;

function joined(before: string | undefined, value: string): string {
  return before === undefined ? value : `${before}, ${value}`;
}

/** Fields that the cache treats like Authorization (RFC 9111 section 3.5). */
const isCredential = compileNameTest([...credentialFields, "x-forwarded-client-cert"]);

/**
 * Fields that services act on but most caches do not key; here they are in the key: whatever a hop in front tells, except
 * the client's address.
 */
const isPoisonous = (lower: string): boolean =>
  lower.startsWith("x-forwarded-") ? lower !== "x-forwarded-for" : isTold(lower);
const isTold = compileNameTest([...toldOriginFields, ...overrideFields]);

/** Whether a request may use and fill the cache: GET or HEAD, without a body and without an upgrade. */
export function isCacheable(exchange: Exchange): boolean {
  const { method, hasBody, upgrade } = exchange.request;
  return (method === "GET" || method === "HEAD") && !hasBody && upgrade === undefined;
}
