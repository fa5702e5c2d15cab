// Counts the answers that callers get during a drill, by route.
import type { Exchange, Outcome } from "../plugin-api/exchange.ts";
import type { Counter, Metrics } from "../plugin-api/telemetry.ts";
import type { ExchangeTaps, TappedExchange } from "../runtime/live-record.ts";
import type { Drill } from "./drill.ts";

export const drilledRequests = "outrigger_drill_requests_total";

type Answers = (...values: string[]) => Counter;

/** Passes every exchange on to the other taps, too. */
export class CountedExchanges implements ExchangeTaps {
  readonly #drill: Drill;
  readonly #others: ExchangeTaps;
  readonly #answers: Answers;

  constructor(drill: Drill, others: ExchangeTaps, metrics: Metrics) {
    this.#drill = drill;
    this.#others = others;
    this.#answers = metrics.counter(
      drilledRequests,
      "Requests during drills by route, status, the plugin that answered and the code of its or the sidecar's error",
      ["route", "status", "plugin", "code"],
    );
  }

  get active(): boolean {
    return this.#others.active || this.#drill.fault !== undefined;
  }

  begin(exchange: Exchange): TappedExchange | undefined {
    const other = this.#others.active ? this.#others.begin(exchange) : undefined;
    return this.#drill.fault === undefined ? other : new Counted(this.#answers, other);
  }
}

class Counted implements TappedExchange {
  readonly #answers: Answers;
  readonly #other: TappedExchange | undefined;

  constructor(answers: Answers, other: TappedExchange | undefined) {
    this.#answers = answers;
    this.#other = other;
  }

  answered(...told: Parameters<TappedExchange["answered"]>): void {
    this.#other?.answered(...told);
  }

  ended(exchange: Exchange, outcome: Outcome): void {
    const { status, answeredBy = "", error } = outcome;
    this.#answers(exchange.route.pattern, String(status), answeredBy, error?.code ?? "").inc();
    this.#other?.ended(exchange, outcome);
  }
}
