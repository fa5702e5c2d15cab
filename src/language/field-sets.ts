// Lists fields by what they mean to a proxy, one list for all callers of each. Names are as `fieldKey` makes them.

/**
 * Compiles a test whether a name is one of a few. A bit per length rules out most fields at once, because they have
 * none of these lengths. A Set has to hash every name anew, which costs ten times as much.
 */
export function compileNameTest(names: Iterable<string>): (lowerName: string) => boolean {
  const set = new Set(names);
  let lengths = 0;
  for (const { length } of set) lengths |= 1 << (length % 32);
  return (lowerName) => (lengths & (1 << (lowerName.length % 32))) !== 0 && set.has(lowerName);
}

/** Fields that concern one connection and stop at every hop, in both directions (RFC 9110 section 7.6.1). */
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

/**
 * Fields that frame the message or belong to one connection (RFC 9110 section 7.6.1, RFC 9112 section 6). No policy may
 * name them.
 */
export const messageFields: readonly string[] = [
  ...hopByHopFields,
  "content-length",
  "expect",
  "host",
  "http2-settings",
  "trailer",
];

/** Fields that the sidecar writes when it forwards a request, by the trusted-proxy rule. */
export const writtenForwardedFields: readonly string[] = [
  "forwarded",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-proto",
];

/** Fields by which an earlier hop tells the address that the client used. Services build links from them. */
export const toldOriginFields: readonly string[] = [
  "front-end-https",
  "x-forwarded-host",
  "x-forwarded-port",
  "x-forwarded-prefix",
  "x-forwarded-proto",
  "x-forwarded-scheme",
  "x-forwarded-server",
  "x-forwarded-ssl",
  "x-scheme",
  "x-url-scheme",
];

/** Fields by which a proxy may tell the client's address. A setting says which one is trusted. */
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

/** Whether a hop describes earlier hops in this field. When an untrusted peer sends one, it is removed. */
export function isForwardedField(lowerName: string): boolean {
  return lowerName.startsWith("x-forwarded-") || isForwardedName(lowerName);
}

/**
 * Fields by which services recognise callers, whether or not `auth` knows them. No log shows them, and shared caches
 * take them into account.
 */
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

/**
 * Whether requests give this field a meaning that no policy may replace: who the caller is, and what the message is.
 */
export const isClientsField = (lowerName: string): boolean =>
  isClientsName(lowerName) || clientsPrefix.test(lowerName);

/**
 * Fields by which frameworks let a request name another method, path or host than its own (Rails and Express method
 * overrides, IIS and Symfony URL rewrites). Where a policy guards anything, the request that is checked must be the
 * request that is served.
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

/** @returns a test for the override fields that are removed where a policy guards anything: all except the kept ones */
export function stoppedOverrides(kept: readonly string[]): (lowerName: string) => boolean {
  if (kept.length === 0) return isOverrideField;
  return (lowerName) => isOverrideField(lowerName) && !kept.includes(lowerName);
}
