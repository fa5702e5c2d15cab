// Reports trusted proxies whose X-Forwarded-For and Forwarded fields name different clients: a third party wrote one of
// them, and the settings say which is believed. They are counted, and logged once a minute.
import type { Clock, Counter, Logger, Metrics } from "../plugin-api/contract.ts";
import type { ForwardedField } from "../language/field-sets.ts";
import type { ClientAddress } from "./client-address.ts";

const tellEveryMs = 60_000;

export class Disagreements {
  readonly #believed: ForwardedField;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #count: Counter;
  #nextMono = -Infinity;

  constructor(believed: ForwardedField, clock: Clock, logger: Logger, metrics: Metrics) {
    this.#believed = believed;
    this.#clock = clock;
    this.#logger = logger;
    this.#count = metrics.counter(
      "outrigger_forwarded_disagreements_total",
      "Requests of trusted proxies whose X-Forwarded-For and Forwarded name different clients",
    )();
  }

  note({ peer }: ClientAddress): void {
    this.#count.inc();
    const now = this.#clock.mono();
    if (now < this.#nextMono) return;
    this.#nextMono = now + tellEveryMs;
    this.#logger.warn(
      { peer, believed: this.#believed },
      "a trusted proxy's X-Forwarded-For and Forwarded name different clients: have it remove the one that it does " +
        "not write, and name the one that it writes in OUTRIGGER_FORWARDED_FIELD",
    );
  }
}
