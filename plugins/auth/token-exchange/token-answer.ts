// What token endpoints answer (RFC 6749 section 5.1): a token that can be a field, and how long it is good.
import { z } from "zod";
import { numberOf } from "../issuers/json-answer.ts";
import { decodeToken } from "../tokens/token-parts.ts";

/** Where neither the answer nor the token says when it ends. */
const unknownLifeMs = 60_000;
/** A service may look at it a moment later, by another clock. */
const spareMs = 10_000;

/** What becomes a field must be one token (RFC 6750 section 2.1). */
export const oneToken = z
  .string()
  .max(16_384)
  .regex(/^[A-Za-z0-9\-._~+/]+=*$/);

export const expiresIn = z.preprocess(numberOf, z.number().positive().optional());

/** How long a token is used that was just made. */
export function usedMs(token: string, seconds: number | undefined, nowMs: number): number {
  const lifeMs = seconds === undefined ? lifeOf(token, nowMs) : seconds * 1000;
  return lifeMs - Math.min(spareMs, lifeMs / 10);
}

function lifeOf(token: string, nowMs: number): number {
  const endsMs = endOf(token);
  return endsMs === Infinity ? unknownLifeMs : endsMs - nowMs;
}

/**
 * By what the token says of itself; it is not verified, and nobody is let in by it.
 * @returns epoch milliseconds; Infinity where it does not say
 */
export function endOf(token: string): number {
  const parts = decodeToken(token.trim());
  const exp = typeof parts === "string" ? undefined : parts.claims["exp"];
  return typeof exp === "number" ? exp * 1000 : Infinity;
}

/** Names the member alone: a message could quote the token. */
export function faultOf({ issues: [issue] }: z.ZodError): string {
  return issue === undefined || issue.path.length === 0
    ? "is no JSON object"
    : `${issue.path.join(".")} is missing or not as it must be`;
}
