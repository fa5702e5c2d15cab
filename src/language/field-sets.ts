// Fields that are told apart by what they mean to a proxy, one list each for all that ask. Names are as `fieldKey` makes them.

/**
 * Whether a name is one of a few. One bit for each length that one of them has, since most fields have none of these
 * lengths: a set has to hash every name anew, which costs ten times as much.
 */
export function compileNameTest(names: Iterable<string>): (lowerName: string) => boolean {
  const set = new Set(names);
  let lengths = 0;
  for (const { length } of set) lengths |= 1 << (length % 32);
  return (lowerName) => (lengths & (1 << (lowerName.length % 32))) !== 0 && set.has(lowerName);
}

/** They concern one connection and stop at every hop, both ways (RFC 9110 section 7.6.1). */
export const hopByHopFields: readonly string[] = [
  "connection",
  "keep-alive",
  "proxy-connection",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "transfer-encoding",
  "upgrade",
];

/** They frame the message or belong to one connection (RFC 9110 section 7.6.1, RFC 9112 section 6): no policy's to name. */
export const messageFields: readonly string[] = [
  ...hopByHopFields,
  "content-length",
  "expect",
  "host",
  "http2-settings",
  "trailer",
];

/** Written when a request is forwarded, from the trusted-proxy rule. */
export const writtenForwardedFields: readonly string[] = [
  "forwarded",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-proto",
];

/** By which an earlier hop tells under what address the client asked. Services build links of them. */
export const toldOriginFields: readonly string[] = [
  "front-end-https",
  "x-forwarded-host",
  "x-forwarded-port",
  "x-forwarded-prefix",
  "x-forwarded-proto",
  "x-forwarded-scheme",
  "x-forwarded-server",
  "x-forwarded-ssl",
];

/** By which a proxy may tell who the client is; a setting says which one is believed. */
export const clientAddressFields = [
  "x-forwarded-for",
  "forwarded",
  "x-real-ip",
  "true-client-ip",
  "cf-connecting-ip",
] as const;
export type ForwardedField = (typeof clientAddressFields)[number];

const isForwardedName = compileNameTest([
  ...clientAddressFields,
  "client-ip",
  "fastly-client-ip",
  "x-client-ip",
  "x-cluster-client-ip",
  "x-envoy-external-address",
  "x-original-forwarded-for",
]);

/** Fields by which a hop tells of those before it: whatever an untrusted peer sends under them is removed. */
export function isForwardedField(lowerName: string): boolean {
  return lowerName.startsWith("x-forwarded-") || isForwardedName(lowerName);
}

/** By which services know callers, whatever `auth` knows: no log shows them, and no shared cache overlooks them. */
export const credentialFields: readonly string[] = [
  "authorization",
  "x-access-token",
  "x-api-key",
  "x-auth-token",
  "x-forwarded-access-token",
];

const isClientsName = compileNameTest([
  ...credentialFields,
  "accept",
  "baggage",
  "cache-control",
  "cookie",
  "date",
  "dpop",
  "from",
  "last-event-id",
  "max-forwards",
  "origin",
  "pragma",
  "prefer",
  "priority",
  "range",
  "referer",
  "traceparent",
  "tracestate",
  "upgrade-insecure-requests",
  "user-agent",
  "via",
  "x-csrf-token",
  "x-csrftoken",
  "x-requested-with",
  "x-xsrf-token",
]);
const clientsPrefix = /^(?:accept|access-control|content|grpc|if|sec)-/;

/** Fields that requests have a meaning of their own for, whatever a policy says: who calls, and what the message is. */
export const isClientsField = (lowerName: string): boolean =>
  isClientsName(lowerName) || clientsPrefix.test(lowerName);

/**
 * By which frameworks let a request name another method, path or host than the one it came with (Rails and Express method
 * overrides, IIS and Symfony URL rewrites): where a policy guards anything, what is checked must be what is served.
 */
export const overrideFields: ReadonlySet<string> = new Set([
  "x-http-method",
  "x-http-method-override",
  "x-method-override",
  "x-original-method",
  "x-original-uri",
  "x-original-url",
  "x-override-url",
  "x-rewrite-url",
  "x-http-destinationurl",
  "x-http-path-override",
  "x-original-path",
  "x-envoy-original-path",
  "x-waws-unencoded-url",
  "x-host",
  "x-http-host-override",
  "x-original-host",
]);

export const isOverrideField = compileNameTest(overrideFields);

/** @returns the test for those that stop where a policy guards anything, all but the kept ones */
export function stoppedOverrides(kept: readonly string[]): (lowerName: string) => boolean {
  if (kept.length === 0) return isOverrideField;
  return (lowerName) => isOverrideField(lowerName) && !kept.includes(lowerName);
}
