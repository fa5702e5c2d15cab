// Decides which header fields a policy may set or remove, and which of them a client may never send.
import { fieldKey } from "../../src/language/field-name.ts";
import { messageFields, writtenForwardedFields } from "../../src/language/field-sets.ts";

export function responseFieldProblem(name: string): string | undefined {
  return messageFields.includes(fieldKey(name))
    ? "frames the message or belongs to the connection: the sidecar alone sets it"
    : undefined;
}

export function requestFieldProblem(name: string): string | undefined {
  return writtenForwardedFields.includes(fieldKey(name))
    ? "is written by the sidecar from its trusted proxies"
    : responseFieldProblem(name);
}

/**
 * Request fields that mean the same from every client and on every route. A policy may replace them on its own route,
 * but they are not removed from clients' requests elsewhere: that would break other routes (without Authorization,
 * nobody could log in).
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

/** Whether only the policy may set this field: false for fields that clients may send in any case. */
export function isOwnedField(name: string): boolean {
  return !everyClientsOwn.has(fieldKey(name));
}

/**
 * @returns the lower-case names that a client may not send on any route; `_` counts as `-`, as some services read it
 */
export function ownedRequestFields(setByPolicy: readonly string[]): readonly string[] {
  const owned = new Set(["x-user-id", "x-user-plan", "x-user-scopes"]);
  for (const name of setByPolicy) {
    const lower = fieldKey(name);
    if (!everyClientsOwn.has(lower)) owned.add(lower);
  }
  return [...owned];
}
