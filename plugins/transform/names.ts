// Which header fields a policy may set or remove, and which of those a client may never send.
import { fieldKey } from "../../src/plugin-api/contract.ts";

const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/;

/** They frame the message or belong to one connection (RFC 9110 section 7.6.1, RFC 9112 section 6). */
const ofTheConnection = new Set([
  "connection",
  "content-length",
  "expect",
  "host",
  "http2-settings",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** Written when the request is forwarded, from the trusted-proxy rule. */
const ofTheForwarding = new Set(["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"]);

export function responseFieldProblem(name: string): string | undefined {
  if (!token.test(name)) return "is not a field name";
  return ofTheConnection.has(fieldKey(name))
    ? "frames the message or belongs to the connection: the sidecar alone sets it"
    : undefined;
}

export function requestFieldProblem(name: string): string | undefined {
  return ofTheForwarding.has(fieldKey(name))
    ? "is written by the sidecar from its trusted proxies"
    : responseFieldProblem(name);
}

/**
 * Compiles the test whether a lower-case name is one of a few.
 * By length first: a set has to hash every name anew, which costs ten times as much.
 */
export function compileNameTest(lowerNames: readonly string[]): (lowerName: string) => boolean {
  let lengths = 0;
  for (const { length } of lowerNames) lengths |= 1 << (length % 32);
  return (lowerName) => (lengths & (1 << (lowerName.length % 32))) !== 0 && lowerNames.includes(lowerName);
}

/**
 * Request fields that mean the same from every client and on every route. A policy may replace them on its own
 * route; taking them from clients everywhere else would break those routes (Authorization: nobody could log in).
 */
const everyClientsOwn = new Set([
  "accept",
  "accept-charset",
  "accept-encoding",
  "accept-language",
  "authorization",
  "baggage",
  "cache-control",
  "content-encoding",
  "content-language",
  "content-type",
  "cookie",
  "date",
  "from",
  "if-match",
  "if-modified-since",
  "if-none-match",
  "if-range",
  "if-unmodified-since",
  "origin",
  "pragma",
  "prefer",
  "priority",
  "range",
  "referer",
  "traceparent",
  "tracestate",
  "user-agent",
  "x-api-key",
  "x-request-id",
]);

/** Whether a field that a policy sets is not one that clients may send all the same. */
export function isOwnedField(name: string): boolean {
  return !everyClientsOwn.has(fieldKey(name));
}

/** @returns the lower-case names that a client may not send on any route, `_` read as `-` as some services do */
export function ownedRequestFields(setByPolicy: readonly string[]): readonly string[] {
  const owned = new Set(["x-user-id", "x-user-plan", "x-user-scopes"]);
  for (const name of setByPolicy) {
    const lower = fieldKey(name);
    if (!everyClientsOwn.has(lower)) owned.add(lower);
  }
  return [...owned];
}
