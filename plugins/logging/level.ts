// Decides the level of a line.
import type { Outcome } from "../../src/plugin-api/contract.ts";

/** pino's numbers of the levels, and `silent` above all of them. */
export const levelNumbers = { trace: 10, debug: 20, info: 30, warn: 40, error: 50, silent: 100 } as const;

export const levelNames: Readonly<Record<number, string>> = { 30: "info", 40: "warn", 50: "error" };

/** UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE, DATA_LOSS. */
const grpcFaults = new Set([2, 4, 13, 14, 15]);

/** `error` for faults of the service or the sidecar, `warn` for faults of the client and cut exchanges, else `info`. */
export function levelOf(outcome: Outcome): number {
  if (outcome.grpcStatus !== undefined && outcome.grpcStatus !== 0)
    return grpcFaults.has(outcome.grpcStatus) ? levelNumbers.error : levelNumbers.warn;
  if (outcome.status >= 500 || outcome.end === "failed" || outcome.end === "upstream-aborted") {
    return levelNumbers.error;
  }
  return outcome.status >= 400 || outcome.end !== "complete" ? levelNumbers.warn : levelNumbers.info;
}
