// The rules of a route's `retry`, and the reasons for a retry.
import { fieldOf } from "../../http2/fields.ts";
import type { ErrorCode, GatewayError } from "../../plugin-api/errors.ts";
import { RefusedUnseen } from "../http2-call.ts";

export type RetryReason = "connect-failure" | "reset" | "gateway-error" | "unavailable";

/** The options as in the policy. */
export interface RetryOptions {
  readonly on?: readonly RetryReason[] | undefined;
  readonly attempts?: number | undefined;
  readonly backoffMs?: number | undefined;
  readonly budget?: number | undefined;
  readonly holdMs?: number | undefined;
}

export interface RetryRules {
  readonly on: ReadonlySet<RetryReason>;
  /** Including the first. */
  readonly attempts: number;
  readonly backoffMs: number;
  /** Percent of the requests that may be retried. */
  readonly budget: number;
  readonly holdMs: number;
  /** How many bytes of a streamed request body are kept to send it again. */
  readonly replayBytes: number;
}

/** @param replayBytes how much of a streamed body may be kept */
export function retryRules(options: RetryOptions, replayBytes: number): RetryRules {
  const { on, attempts = 3, backoffMs = 25, budget = 20, holdMs = 5_000 } = options;
  const reasons = on ?? (["connect-failure", "reset", "gateway-error", "unavailable"] as const);
  return { on: new Set(reasons), attempts, backoffMs, budget, holdMs, replayBytes };
}

/** No process listens there: a service that restarts will in a moment, and it has seen nothing of the request. */
export function isAbsence(code: ErrorCode): boolean {
  return code === "upstream_refused";
}

/** @returns undefined if another try would not help or is not allowed */
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

/** Whether the service may have acted on a try that failed so. */
export function mayHaveActed(reason: RetryReason, { cause }: GatewayError): boolean {
  return reason === "reset" && !(cause instanceof RefusedUnseen);
}

export function isGatewayError(status: number): boolean {
  return status === 502 || status === 503 || status === 504;
}

/** UNAVAILABLE (statuscodes.md). */
export const unavailable = "14";

/** Exponential backoff with full jitter: from 0 to a limit that doubles with each try. @param tries that were made */
export function backoffMs(base: number, tries: number, random: () => number): number {
  return random() * Math.min(maxBackoffMs, base * 2 ** (tries - 1));
}
const maxBackoffMs = 10_000;

/**
 * The service's Retry-After (RFC 9110 section 10.2.3; dates are ignored).
 * @returns milliseconds from now; 0 = none
 */
export function retryAfterMs(fields: readonly string[]): number {
  const value = fieldOf(fields, "retry-after") ?? "";
  return /^\d{1,9}$/.test(value) ? Number(value) * 1_000 : 0;
}

/**
 * The counterpart in gRPC (gRFC A6). A negative number, or no number of milliseconds, forbids a retry.
 * @returns undefined = no such field; Infinity = do not retry
 */
export function pushbackMs(fields: readonly string[]): number | undefined {
  const value = fieldOf(fields, "grpc-retry-pushback-ms");
  if (value === undefined) return undefined;
  return /^\d{1,9}$/.test(value) ? Number(value) : Infinity;
}
