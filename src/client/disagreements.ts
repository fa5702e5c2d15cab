// X-Forwarded-For and Forwarded of a trusted proxy name different clients: one of them is somebody else's word, and the
// settings say which is believed. Counted, and told once a minute.
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
