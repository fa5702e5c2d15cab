// The parts that retries of all routes share: the budgets, one clock, one counter.
import type { Counter, Metrics } from "../../plugin-api/contract.ts";
import { RetryBudgets } from "./budget.ts";
import type { RetryReason } from "./rules.ts";
import { type Time, systemTime } from "../time.ts";

/** What became of a possible retry. */
export type RetryResult = "sent" | "waited" | "over_budget" | "past_deadline" | "body_not_kept";

export class Retries {
  readonly time: Time;
  readonly random: () => number;
  readonly budgets = new RetryBudgets();
  readonly #counter: (...values: string[]) => Counter;

  constructor(metrics: Metrics, time: Time = systemTime, random: () => number = Math.random) {
    this.time = time;
    this.random = random;
    this.#counter = metrics.counter(
      "outrigger_retries_total",
      "Requests that were to be sent to the service again, by route, reason and what became of it",
      ["route", "reason", "result"],
    );
  }

  /** @param route the route's pattern */
  count(route: string, reason: RetryReason, result: RetryResult): void {
    this.#counter(route, reason, result).inc();
  }
}
