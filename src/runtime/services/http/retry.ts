// When a call is tried again, and after which pause.
import { HttpError, type HttpAnswer, type HttpMethod, type HttpRequest } from "../../../plugin-api/http.ts";

/** RFC 9110 section 9.2.2: a second time changes nothing more. */
const idempotent: ReadonlySet<HttpMethod> = new Set(["GET", "HEAD", "PUT", "DELETE", "OPTIONS"]);

const defaultRetries = 2;
const maxRetries = 5;
const basePauseMs = 50;
const maxPauseMs = 2_000;

/** Of a server that cannot serve now (RFC 9110 section 15.6). */
const passing: ReadonlySet<number> = new Set([502, 503, 504]);

/** @throws Error for a number that is none */
export function retriesOf({ retries, method = "GET" }: HttpRequest): number {
  if (retries === undefined) return idempotent.has(method) ? defaultRetries : 0;
  if (!Number.isInteger(retries) || retries < 0 || retries > maxRetries)
    throw new Error(`retries must be an integer from 0 to ${maxRetries}`);
  return retries;
}

/** Whether a connection that is closed unseen does no harm: then it may be one that was used before. */
export function isRepeatable(options: HttpRequest): boolean {
  return idempotent.has(options.method ?? "GET") || retriesOf(options) > 0;
}

/** Whether the next try may come to more. */
export function isWorthAnother(outcome: HttpAnswer | HttpError): boolean {
  if (outcome instanceof HttpError) return outcome.reason === "connection" || outcome.reason === "timeout";
  return passing.has(outcome.status);
}

/**
 * Exponential back-off with full jitter, so that those who failed together do not come back together; not before the
 * server's own Retry-After (RFC 9110 section 10.2.3).
 * @param retry 0 = the first
 */
export function pauseMs(retry: number, outcome: HttpAnswer | HttpError, random: () => number): number {
  const jittered = random() * Math.min(maxPauseMs, basePauseMs * 2 ** retry);
  const retryAfter = outcome instanceof HttpError ? undefined : outcome.fields.get("retry-after");
  const askedSeconds = retryAfter !== undefined && /^\d{1,9}$/.test(retryAfter) ? Number(retryAfter) : 0;
  return Math.max(jittered, askedSeconds * 1_000);
}
