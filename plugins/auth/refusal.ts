// Makes the plugin's answers once for all routes with the same challenges: creating an Error costs microseconds, and
// these answers hold nothing of a request.
import { GatewayError, type ErrorCode, type RejectVerdict } from "../../src/plugin-api/contract.ts";

export interface Refusals {
  /** No credential was shown. */
  readonly missing: RejectVerdict;
  readonly badKey: RejectVerdict;
  readonly badToken: RejectVerdict;
  /** The proof beside a token is bad (RFC 9449 section 7.1). */
  readonly badProof: RejectVerdict;
  readonly badCredential: RejectVerdict;
  readonly forbidden: RejectVerdict;
  /** A token lacks a scope (RFC 6750 section 3.1). */
  readonly lacksScope: RejectVerdict;
  /** Which rules hold depends on how the service reads the path. */
  readonly disputed: RejectVerdict;
  readonly unavailable: RejectVerdict;
  readonly overloaded: RejectVerdict;
  /** No token for the service could be obtained (RFC 8693). */
  readonly noServiceToken: RejectVerdict;
  /** The proof must hold this nonce (RFC 9449 section 9). */
  useNonce(nonce: string): RejectVerdict;
  /** @param retryAfterSeconds whole seconds until the window ends */
  limited(retryAfterSeconds: number): RejectVerdict;
}

function reject(code: ErrorCode, detail: string, fields: readonly string[]): RejectVerdict {
  return { action: "reject", error: new GatewayError(code, detail, { fields }) };
}

const prepared = new Map<string, Refusals>();
const maxPrepared = 64;

/** Schemes that a route accepts. */
export interface Challenges {
  readonly bearer: boolean;
  readonly apiKey: boolean;
  /** Algorithms of DPoP proofs; undefined where none is accepted. */
  readonly dpop?: readonly string[] | undefined;
  readonly signature?: boolean | undefined;
  readonly basic?: boolean | undefined;
}

/** @param realm text for a quoted-string, checked by the schema */
export function prepareRefusals(realm: string, challenges: Challenges): Refusals {
  const key = JSON.stringify([challenges, realm]);
  let refusals = prepared.get(key);
  if (refusals === undefined) {
    refusals = makeRefusals(realm, challenges);
    if (prepared.size < maxPrepared) prepared.set(key, refusals);
  }
  return refusals;
}

/** Builds fields with a challenge for each scheme. Only the token schemes carry the error. */
function challenger(realm: string, { bearer, apiKey, dpop, signature = false, basic = false }: Challenges) {
  return (error: string, onlyDpop = false): string[] => {
    const fields: string[] = [];
    const told = error === "" ? "" : `, error="${error}"`;
    if (dpop !== undefined)
      fields.push("WWW-Authenticate", `DPoP realm="${realm}"${told}, algs="${dpop.join(" ")}"`);
    if (bearer) fields.push("WWW-Authenticate", `Bearer realm="${realm}"${onlyDpop ? "" : told}`);
    if (basic) fields.push("WWW-Authenticate", `Basic realm="${realm}", charset="UTF-8"`);
    if (signature) fields.push("WWW-Authenticate", `Signature realm="${realm}"`);
    if (apiKey || fields.length === 0) fields.push("WWW-Authenticate", `ApiKey realm="${realm}"`);
    return fields;
  };
}

function makeRefusals(realm: string, challenges: Challenges): Refusals {
  const challenge = challenger(realm, challenges);
  const tokens = challenger(realm, { ...challenges, apiKey: false, signature: false, basic: false });
  const plain = challenge("");
  return {
    missing: reject("authentication_required", "This resource needs a credential.", plain),
    badKey: reject("invalid_api_key", "The API key is not valid.", plain),
    badToken: reject("invalid_token", "The token is not valid.", challenge("invalid_token")),
    badProof: reject(
      "invalid_token",
      "The proof of the token is not valid.",
      challenge("invalid_dpop_proof", true),
    ),
    badCredential: reject("authentication_required", "The credential is not valid.", plain),
    forbidden: reject("forbidden", "The caller may not do this.", []),
    lacksScope: reject("forbidden", "The caller may not do this.", tokens("insufficient_scope")),
    disputed: reject("malformed_request", "Other rules hold for the path once it is decoded.", []),
    unavailable: reject("dependency_unavailable", "The credential cannot be checked now.", [
      "Retry-After",
      "1",
    ]),
    noServiceToken: reject("dependency_unavailable", "A token for the service cannot be had now.", [
      "Retry-After",
      "1",
    ]),
    overloaded: reject("overloaded", "Too many credentials are being checked.", ["Retry-After", "1"]),
    useNonce: (nonce) =>
      reject("invalid_token", "The proof of the token must hold the nonce.", [
        ...challenge("use_dpop_nonce", true),
        "DPoP-Nonce",
        nonce,
        "Cache-Control",
        "no-store",
      ]),
    limited: (retryAfterSeconds) =>
      reject("rate_limited", "Too many bad credentials.", ["Retry-After", String(retryAfterSeconds)]),
  };
}
