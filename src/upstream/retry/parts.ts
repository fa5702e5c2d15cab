// What the retries of a route's calls are made of.
import type { UpstreamTransport } from "../transport.ts";
import type { RetryBudget } from "./budget.ts";
import type { Retries } from "./retries.ts";
import type { RetryRules } from "./rules.ts";
import type { WaitingCalls } from "./waiting-calls.ts";

export interface RetryParts {
  readonly transport: UpstreamTransport;
  readonly waiting: WaitingCalls;
  readonly rules: RetryRules;
  /** For labels. */
  readonly route: string;
  readonly retries: Retries;
  readonly budget: RetryBudget;
}

/** Of a call: whether the service may get it twice, whatever became of the first; and who speaks gRPC. */
export interface CallKind {
  readonly isRepeatable: boolean;
  readonly isGrpc: boolean;
}
