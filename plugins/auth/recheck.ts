// Decides whether the caller of an exchange that goes on (a stream, a WebSocket) would still be let in. It judges the
// request as at first, but counts, limits, renews and changes nothing.
import type { Exchange, Verdict } from "../../src/plugin-api/contract.ts";
import { readCredentials, removeCredentials } from "./credentials.ts";
import type { AuthResult, MaybeAuthResult, Refused, Unavailable } from "./auth-result.ts";
import { constraintFault } from "./tokens/sender-constraint.ts";
import { noKeys, noTokens, type AuthenticatorParts } from "./authenticator.ts";

export function recheck(parts: AuthenticatorParts, exchange: Exchange): Verdict | Promise<Verdict> {
  const { excludes, login, credentials, refusals } = parts;
  const { request } = exchange;
  if (login?.owns(request.path)) return undefined;
  if (parts.rules.disputed(request)) return refusals.disputed;
  if (excludes?.take(request) === true) return undefined;
  const { bearer, apiKey, malformed } = readCredentials(request, credentials);
  if (malformed !== undefined) return refusals.badCredential;
  const token = bearer === undefined ? undefined : tokenFinding(parts, bearer);
  const key = apiKey === undefined ? undefined : keyFinding(parts, apiKey, exchange.client.address);
  const shown = parts.schemes.filter((scheme) => scheme.isShown(request));
  if (shown.length > 0)
    return Promise.all([token, key, ...shown.map((scheme) => scheme.recheck(exchange))]).then((results) =>
      judge(parts, exchange, results),
    );
  const first = bearer === undefined && apiKey === undefined ? login?.session(exchange, false) : token;
  if (first instanceof Promise || key instanceof Promise) {
    return Promise.all([first, key]).then((results) => judge(parts, exchange, results));
  }
  return judge(parts, exchange, [first, key]);
}

function tokenFinding({ tokens }: AuthenticatorParts, bearer: string): MaybeAuthResult {
  const known = tokens?.getCached(bearer) ?? noTokens;
  return known.kind === "unseen" ? (tokens?.lookUp(bearer, known.digest) ?? noTokens) : known;
}

function keyFinding({ keys }: AuthenticatorParts, apiKey: string, address: string): MaybeAuthResult {
  const known = keys?.getCached(apiKey, address) ?? noKeys;
  return known.kind === "unseen" ? (keys?.lookUp(apiKey, known.digest, address) ?? noKeys) : known;
}

/** @param results for the token or session, for the key, and for each other scheme; undefined = not shown */
function judge(
  parts: AuthenticatorParts,
  exchange: Exchange,
  results: readonly (AuthResult | undefined)[],
): Verdict | Promise<Verdict> {
  const [first] = results;
  const fault =
    first?.kind === "accepted" ? constraintFault(exchange, first.identity, parts, true) : undefined;
  if (fault instanceof Promise) return fault.then((late) => judgeConstrained(parts, exchange, results, late));
  return judgeConstrained(parts, exchange, results, fault);
}

/** @param fault the caller does not hold what its bound token is bound to */
function judgeConstrained(
  parts: AuthenticatorParts,
  exchange: Exchange,
  results: readonly (AuthResult | undefined)[],
  fault: Refused | Unavailable | undefined,
): Verdict {
  const { certificates, required, refusals, rules } = parts;
  const ids = certificates?.ids(exchange) ?? [];
  const presented = results.filter((result) => result !== undefined);
  if (certificates !== undefined && (presented.length === 0 || certificates.isBad(ids)))
    presented.push(...[certificates.check(ids, exchange)].filter((result) => result !== undefined));
  if (fault !== undefined) presented.unshift(fault);
  const bad = presented.find((result) => result.kind === "refused");
  if (bad !== undefined) {
    exchange.refusedBecause = bad.because;
    if (bad.code === "invalid_api_key") return refusals.badKey;
    return bad.code === "invalid_token" ? refusals.badToken : refusals.badCredential;
  }
  if (presented.some((result) => result.kind === "unavailable")) return refusals.unavailable;
  const identity = presented.find((result) => result.kind === "accepted")?.identity;
  if (identity === undefined && required) return refusals.missing;
  // Later plugins recheck the request in the state in which they saw it at first.
  exchange.identity = identity;
  if (!parts.forwardCredentials) removeCredentials(exchange.request, parts.credentials);
  const failure = rules.any ? rules.check({ exchange, identity, certificateIds: ids }, true) : undefined;
  if (failure === undefined) return undefined;
  exchange.refusedBecause = `rule ${failure.rule}: ${failure.condition}`;
  return refusals.forbidden;
}
