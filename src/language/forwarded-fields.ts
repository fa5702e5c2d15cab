// Fields by which hops tell of those before them: who the client is, what it asked for.

export const forwardedFields = [
  "x-forwarded-for",
  "forwarded",
  "x-real-ip",
  "true-client-ip",
  "cf-connecting-ip",
] as const;
/** The field by which proxies tell who the client is. */
export type ForwardedField = (typeof forwardedFields)[number];

/** Fields by which a hop tells of those before it: whatever an untrusted peer sends under them is removed. */
export function isForwardedField(canonicalName: string): boolean {
  return canonicalName.startsWith("x-forwarded-") || forwardedNames.has(canonicalName);
}

const forwardedNames = new Set([
  ...forwardedFields,
  "client-ip",
  "fastly-client-ip",
  "x-client-ip",
  "x-cluster-client-ip",
  "x-envoy-external-address",
  "x-original-forwarded-for",
]);
