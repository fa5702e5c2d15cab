// The parts that retried calls of a route share.
import type { UpstreamTransport } from "../transport.ts";
import type { RetryBudget } from "./budget.ts";
import type { Retries } from "./retries.ts";
import type { RetryRules } from "./rules.ts";
import type { WaitingCalls } from "./waiting-calls.ts";

export interface RetryParts {
  readonly transport: UpstreamTransport;
  readonly waiting: WaitingCalls;
  readonly rules: RetryRules;
  /** The route's label in metrics. */
  readonly route: string;
  readonly retries: Retries;
  readonly budget: RetryBudget;
}

/** Whether the service may get the call twice, whatever became of the first try; and whether it is gRPC. */
export interface CallKind {
  readonly isRepeatable: boolean;
  readonly isGrpc: boolean;
}
