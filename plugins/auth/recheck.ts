// Whether a caller whose exchange goes on (a stream, a WebSocket) would still be let in: its request is judged as it was
// at first, but nothing is counted, limited, renewed or changed for it.
import type { Exchange, Verdict } from "../../src/plugin-api/contract.ts";
import { readCredentials } from "./credentials.ts";
import type { Finding, MaybeFinding } from "./finding.ts";
import { constraintFault } from "./tokens/sender-constraint.ts";
import { noKeys, noTokens, type GuardParts } from "./guard.ts";

export function recheck(parts: GuardParts, exchange: Exchange): Verdict | Promise<Verdict> {
  const { excludes, login, credentials, refusals } = parts;
  const { request } = exchange;
  if (login?.owns(request.path)) return undefined;
  if (parts.rules.disputed(request)) return refusals.disputed;
  if (excludes?.take(request) === true) return undefined;
  const { bearer, apiKey, malformed } = readCredentials(request, credentials);
  if (malformed !== undefined) return refusals.badCredential;
  const token = bearer === undefined ? undefined : tokenFinding(parts, bearer);
  const key = apiKey === undefined ? undefined : keyFinding(parts, apiKey, exchange.client.address);
  const first = bearer === undefined && apiKey === undefined ? login?.session(exchange, false) : token;
  if (first instanceof Promise || key instanceof Promise) {
    return Promise.all([first, key]).then((findings) => judge(parts, exchange, findings));
  }
  return judge(parts, exchange, [first, key]);
}

function tokenFinding({ tokens }: GuardParts, bearer: string): MaybeFinding {
  const known = tokens?.peek(bearer) ?? noTokens;
  return known.kind === "unseen" ? (tokens?.ask(bearer, known.digest) ?? noTokens) : known;
}

function keyFinding({ keys }: GuardParts, apiKey: string, address: string): MaybeFinding {
  const known = keys?.peek(apiKey, address) ?? noKeys;
  return known.kind === "unseen" ? (keys?.ask(apiKey, known.digest, address) ?? noKeys) : known;
}

/** @param findings about the token or session, and about the key; undefined = not shown */
function judge(parts: GuardParts, exchange: Exchange, findings: readonly (Finding | undefined)[]): Verdict {
  const { certificates, required, refusals, rules } = parts;
  const ids = certificates?.ids(exchange) ?? [];
  const shown = findings.filter((finding) => finding !== undefined);
  if (certificates !== undefined && (shown.length === 0 || certificates.isOver(ids)))
    shown.push(...[certificates.check(ids, exchange)].filter((finding) => finding !== undefined));
  const [first] = findings;
  const fault =
    first?.kind === "accepted" ? constraintFault(exchange, first.identity, parts.bound) : undefined;
  const bad = fault ?? shown.find((finding) => finding.kind === "refused");
  if (bad !== undefined) {
    exchange.refusedBecause = bad.because;
    if (bad.code === "invalid_api_key") return refusals.badKey;
    return bad.code === "invalid_token" ? refusals.badToken : refusals.badCredential;
  }
  if (shown.some((finding) => finding.kind === "unavailable")) return refusals.unavailable;
  const identity = shown.find((finding) => finding.kind === "accepted")?.identity;
  if (identity === undefined && required) return refusals.missing;
  const failure = rules.any ? rules.check({ exchange, identity, certificateIds: ids }) : undefined;
  if (failure === undefined) return undefined;
  exchange.refusedBecause = `rule ${failure.rule}: ${failure.condition}`;
  return refusals.forbidden;
}
