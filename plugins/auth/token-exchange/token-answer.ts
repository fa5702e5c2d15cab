// Reads answers of token endpoints (RFC 6749 section 5.1): a token that may go into a field, and how long it is good.
import { z } from "zod";
import { numberOf } from "../issuers/json-answer.ts";
import { decodeToken } from "../tokens/token-parts.ts";

/** Lifetime to assume when neither the answer nor the token gives one. */
const unknownLifeMs = 60_000;
/** Margin before a token's end: the service may check it a moment later, by another clock. */
const spareMs = 10_000;

/** A value that goes into a field must be exactly one token (RFC 6750 section 2.1). */
export const oneToken = z
  .string()
  .max(16_384)
  .regex(/^[A-Za-z0-9\-._~+/]+=*$/);

export const expiresIn = z.preprocess(numberOf, z.number().positive().optional());

/** @returns how long to use a token that was just made (ms) */
export function usedMs(token: string, seconds: number | undefined, nowMs: number): number {
  const lifeMs = seconds === undefined ? lifeOf(token, nowMs) : seconds * 1000;
  return lifeMs - Math.min(spareMs, lifeMs / 10);
}

function lifeOf(token: string, nowMs: number): number {
  const endsMs = endOf(token);
  return endsMs === Infinity ? unknownLifeMs : endsMs - nowMs;
}

/**
 * Reads the token's own `exp`, unverified: nobody is let in because of it.
 * @returns epoch milliseconds; Infinity where it has none
 */
export function endOf(token: string): number {
  const parts = decodeToken(token.trim());
  const exp = typeof parts === "string" ? undefined : parts.claims["exp"];
  return typeof exp === "number" ? exp * 1000 : Infinity;
}

/** Names only the member, as a message could quote the token. */
export function faultOf({ issues: [issue] }: z.ZodError): string {
  return issue === undefined || issue.path.length === 0
    ? "is no JSON object"
    : `${issue.path.join(".")} is missing or not as it must be`;
}
