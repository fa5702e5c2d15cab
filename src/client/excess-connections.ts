// Reports connections that were closed unanswered because there are too many: counted, and logged once a minute.
import type { Clock, Counter, Logger, Metrics } from "../plugin-api/contract.ts";

const tellEveryMs = 60_000;

export class ExcessConnections {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #counter: Counter;
  #untold = 0;
  #toldMono = -Infinity;

  constructor(clock: Clock, logger: Logger, metrics: Metrics) {
    this.#clock = clock;
    this.#logger = logger;
    this.#counter = metrics.counter(
      "outrigger_connections_refused_total",
      "Connections of clients closed unanswered because there were too many",
    )();
  }

  /** @param most the limit that was reached */
  closed(most: number): void {
    this.#counter.inc();
    this.#untold += 1;
    const nowMono = this.#clock.mono();
    if (nowMono - this.#toldMono < tellEveryMs) return;
    this.#toldMono = nowMono;
    this.#logger.warn(
      { connections: most, closed: this.#untold },
      "too many connections of clients: further ones are closed (OUTRIGGER_MAX_CONNECTIONS, ulimit -n)",
    );
    this.#untold = 0;
  }
}
