// Answers of the plugin, made once for routes that challenge alike: an Error costs microseconds to make, and these hold nothing of a request.
import { GatewayError, type ErrorCode, type RejectVerdict } from "../../src/plugin-api/contract.ts";

export interface Refusals {
  /** Nothing was presented. */
  readonly missing: RejectVerdict;
  readonly badKey: RejectVerdict;
  readonly badToken: RejectVerdict;
  readonly badCredential: RejectVerdict;
  readonly forbidden: RejectVerdict;
  /** A token lacks a scope (RFC 6750 section 3.1). */
  readonly lacksScope: RejectVerdict;
  /** It depends on how the service reads the path which rules hold. */
  readonly disputed: RejectVerdict;
  readonly unavailable: RejectVerdict;
  readonly overloaded: RejectVerdict;
  /** There is no token for the service (RFC 8693). */
  readonly noServiceToken: RejectVerdict;
  /** @param retryAfterSeconds whole seconds until the window ends */
  limited(retryAfterSeconds: number): RejectVerdict;
}

function reject(code: ErrorCode, detail: string, fields: readonly string[]): RejectVerdict {
  return { action: "reject", error: new GatewayError(code, detail, { fields }) };
}

const prepared = new Map<string, Refusals>();
const maxPrepared = 64;

/** @param challenges schemes that the route takes; realm is quoted-string text (checked by the schema) */
export function prepareRefusals(realm: string, challenges: { bearer: boolean; apiKey: boolean }): Refusals {
  const key = `${challenges.bearer} ${challenges.apiKey} ${realm}`;
  let refusals = prepared.get(key);
  if (refusals === undefined) {
    refusals = makeRefusals(realm, challenges);
    if (prepared.size < maxPrepared) prepared.set(key, refusals);
  }
  return refusals;
}

function makeRefusals(realm: string, challenges: { bearer: boolean; apiKey: boolean }): Refusals {
  const bearer = (extra: string): string => `Bearer realm="${realm}"${extra}`;
  const apiKey = `ApiKey realm="${realm}"`;
  const challenge = (error: string): string[] => {
    const fields: string[] = [];
    if (challenges.bearer) fields.push("WWW-Authenticate", bearer(error));
    if (challenges.apiKey || !challenges.bearer) fields.push("WWW-Authenticate", apiKey);
    return fields;
  };
  const plain = challenge("");
  const invalid = challenge(', error="invalid_token"');
  return {
    missing: reject("authentication_required", "This resource needs a credential.", plain),
    badKey: reject("invalid_api_key", "The API key is not valid.", plain),
    badToken: reject("invalid_token", "The token is not valid.", invalid),
    badCredential: reject("authentication_required", "The credential is not valid.", plain),
    forbidden: reject("forbidden", "The caller may not do this.", []),
    lacksScope: reject("forbidden", "The caller may not do this.", [
      "WWW-Authenticate",
      bearer(', error="insufficient_scope"'),
    ]),
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
    limited: (retryAfterSeconds) =>
      reject("rate_limited", "Too many bad credentials.", ["Retry-After", String(retryAfterSeconds)]),
  };
}
