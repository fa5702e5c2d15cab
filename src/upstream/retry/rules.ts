// What a route's `retry` says, and what of an answer or a failure it is about.
import { fieldOf } from "../../http2/fields.ts";
import type { ErrorCode } from "../../plugin-api/errors.ts";

export type RetryReason = "connect-failure" | "reset" | "gateway-error" | "unavailable";

/** As the policy says it. */
export interface RetryOptions {
  readonly on?: readonly RetryReason[] | undefined;
  readonly attempts?: number | undefined;
  readonly backoffMs?: number | undefined;
  readonly budget?: number | undefined;
  readonly holdMs?: number | undefined;
}

export interface RetryRules {
  readonly on: ReadonlySet<RetryReason>;
  /** The first included. */
  readonly attempts: number;
  readonly backoffMs: number;
  /** Percent. */
  readonly budget: number;
  readonly holdMs: number;
  /** How much of a streamed request body is kept to send it again. */
  readonly replayBytes: number;
}

/** @param replayBytes how much of a streamed body may be kept */
export function retryRules(options: RetryOptions, replayBytes: number): RetryRules {
  const { on, attempts = 3, backoffMs = 25, budget = 20, holdMs = 5_000 } = options;
  const reasons = on ?? (["connect-failure", "reset", "gateway-error", "unavailable"] as const);
  return { on: new Set(reasons), attempts, backoffMs, budget, holdMs, replayBytes };
}

/** Nobody listens there. A service that restarts does in a moment, and has seen nothing of the request. */
export function isAbsence(code: ErrorCode): boolean {
  return code === "upstream_refused";
}

/** @returns undefined for what no further try would mend, or may repeat */
export function reasonOfFailure(code: ErrorCode): RetryReason | undefined {
  return reasons[code];
}
const reasons: Partial<Record<ErrorCode, RetryReason>> = {
  upstream_refused: "connect-failure",
  upstream_unavailable: "connect-failure",
  upstream_certificate: "connect-failure",
  upstream_connect_timeout: "connect-failure",
  upstream_reset: "reset",
};

export function isGatewayError(status: number): boolean {
  return status === 502 || status === 503 || status === 504;
}

/** UNAVAILABLE (statuscodes.md). */
export const unavailable = "14";

/** Exponential, with full jitter: between 0 and twice as much as before the last. @param tries that were made */
export function backoffMs(base: number, tries: number, random: () => number): number {
  return random() * Math.min(maxBackoffMs, base * 2 ** (tries - 1));
}
const maxBackoffMs = 10_000;

/**
 * When the service says that it may be asked again (RFC 9110 section 10.2.3; a date is not heeded).
 * @returns milliseconds from now
 */
export function retryAfterMs(fields: readonly string[]): number {
  const value = fieldOf(fields, "retry-after") ?? "";
  return /^\d{1,9}$/.test(value) ? Number(value) * 1_000 : 0;
}

/**
 * The same of gRPC (gRFC A6): what is no number of milliseconds, or a negative one, says not to.
 * @returns undefined = it says nothing; Infinity = never
 */
export function pushbackMs(fields: readonly string[]): number | undefined {
  const value = fieldOf(fields, "grpc-retry-pushback-ms");
  if (value === undefined) return undefined;
  return /^\d{1,9}$/.test(value) ? Number(value) : Infinity;
}
