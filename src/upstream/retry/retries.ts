// What retries of all routes of the process have in common: their budgets, one clock, one count.
import type { Counter, Metrics } from "../../plugin-api/contract.ts";
import { RetryBudgets } from "./budget.ts";
import type { RetryReason } from "./rules.ts";
import { type Time, systemTime } from "../time.ts";

/** What became of the wish to ask again. */
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

  /** @param route its pattern */
  count(route: string, reason: RetryReason, result: RetryResult): void {
    this.#counter(route, reason, result).inc();
  }
}
