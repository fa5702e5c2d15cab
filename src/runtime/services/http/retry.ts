// Decides whether and after which pause a call is retried.
import { HttpError, type HttpAnswer, type HttpMethod, type HttpRequest } from "../../../plugin-api/http.ts";

/** RFC 9110 section 9.2.2: repeating these has no further effect. */
const idempotent: ReadonlySet<HttpMethod> = new Set(["GET", "HEAD", "PUT", "DELETE", "OPTIONS"]);

const defaultRetries = 2;
const maxRetries = 5;
const basePauseMs = 50;
const maxPauseMs = 2_000;

/** Statuses of a server that cannot serve at the moment (RFC 9110 section 15.6). */
const passing: ReadonlySet<number> = new Set([502, 503, 504]);

/** @throws Error when `retries` is out of range */
export function retriesOf({ retries, method = "GET" }: HttpRequest): number {
  if (retries === undefined) return idempotent.has(method) ? defaultRetries : 0;
  if (!Number.isInteger(retries) || retries < 0 || retries > maxRetries)
    throw new Error(`retries must be an integer from 0 to ${maxRetries}`);
  return retries;
}

/**
 * Whether a call may use a kept-alive connection. The server may have closed it unnoticed, and then the call is sent
 * again.
 */
export function isRepeatable(options: HttpRequest): boolean {
  return idempotent.has(options.method ?? "GET") || retriesOf(options) > 0;
}

/** Whether another try may succeed. */
export function isWorthAnother(outcome: HttpAnswer | HttpError): boolean {
  if (outcome instanceof HttpError) return outcome.reason === "connection" || outcome.reason === "timeout";
  return passing.has(outcome.status);
}

/**
 * Exponential backoff with full jitter, so that callers that failed together do not return together. The pause is at
 * least the server's Retry-After (RFC 9110 section 10.2.3).
 * @param retry 0 = the first
 * @returns milliseconds
 */
export function pauseMs(retry: number, outcome: HttpAnswer | HttpError, random: () => number): number {
  const jittered = random() * Math.min(maxPauseMs, basePauseMs * 2 ** retry);
  const retryAfter = outcome instanceof HttpError ? undefined : outcome.fields.get("retry-after");
  const askedSeconds = retryAfter !== undefined && /^\d{1,9}$/.test(retryAfter) ? Number(retryAfter) : 0;
  return Math.max(jittered, askedSeconds * 1_000);
}
