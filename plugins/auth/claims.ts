// Maps verified claims to an identity. It converts nothing: a claim of the wrong type makes the token bad.
import { claimAt } from "../../src/language/claim-path.ts";
import type { Identity } from "../../src/plugin-api/contract.ts";
import { identityText, type ClaimMapping, type RequiredClaims } from "./option-fields.ts";
import type { AuthMethod } from "./auth-result.ts";
import type { JsonObject } from "./tokens/token-parts.ts";

/** Whether a claim, or a member of it if it is an array, matches. */
export function claimHolds(claim: unknown, matches: (value: unknown) => boolean): boolean {
  return Array.isArray(claim) ? claim.some(matches) : matches(claim);
}

/** @returns the path of the first required claim that is missing or has another value; undefined = all are right */
export function missingClaim(claims: JsonObject, required: RequiredClaims): string | undefined {
  for (const [path, wanted] of Object.entries(required)) {
    const values: readonly unknown[] = Array.isArray(wanted) ? wanted : [wanted];
    if (!claimHolds(claimAt(claims, path), (value) => values.includes(value))) return path;
  }
  return undefined;
}

/**
 * Splits a claim into words. None where the claim is missing.
 * @returns undefined when the claim is neither a string of words nor an array of strings
 */
function words(claim: unknown): readonly string[] | undefined {
  if (claim === undefined || claim === null) return [];
  const list: readonly unknown[] =
    typeof claim === "string" ? claim.split(" ") : Array.isArray(claim) ? claim : [0];
  const kept = list.filter((word) => word !== "");
  return kept.every((word) => typeof word === "string" && identityText.test(word))
    ? (kept as string[])
    : undefined;
}

/** @returns the identity, or the name of the claim that has the wrong type */
export function mapIdentity(
  claims: JsonObject,
  mapping: ClaimMapping,
  method: AuthMethod,
  issuer: string | undefined,
): Identity | string {
  const subject = claimAt(claims, mapping.userId);
  const userId = typeof subject === "string" && subject !== "" ? mapping.userIdPrefix + subject : "";
  if (!identityText.test(userId)) return mapping.userId;
  const plan = claimAt(claims, mapping.plan) ?? undefined;
  if (plan !== undefined && (typeof plan !== "string" || !identityText.test(plan))) return mapping.plan;
  const scopes = words(claimAt(claims, mapping.scopes));
  if (scopes === undefined) return mapping.scopes;
  const roles = words(claimAt(claims, mapping.roles));
  if (roles === undefined) return mapping.roles;
  const { exp } = claims;
  const expiresAt = typeof exp === "number" ? exp * 1000 : undefined;
  return { userId, issuer, plan, scopes, roles, method, credentialId: issuer, claims, expiresAt };
}

/** Whether `aud` (RFC 7519 section 4.1.3) names one of the wanted audiences. With none wanted it is not checked. */
export function audienceFits(audience: unknown, wanted: readonly string[]): boolean {
  if (wanted.length === 0) return true;
  return claimHolds(audience, (value) => typeof value === "string" && wanted.includes(value));
}
