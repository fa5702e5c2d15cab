// Reports records of API keys that cannot be read: counts each one found, and logs each record once a minute at most.
import { boundedCache, type Counter, type Services } from "../../../src/plugin-api/contract.ts";
import { badKeyRecords } from "../metrics.ts";

const intervalMs = 60_000;
/** With more records than this, the one seen longest ago may be logged again before its minute is over. */
const maxTold = 1_024;

export class BadRecords {
  readonly #services: Services;
  readonly #count: Counter;
  /** When the record was logged (monotonic ms), and how often it has been found since. */
  readonly #told = boundedCache<{ atMono: number; since: number }>(maxTold);

  constructor(services: Services) {
    this.#services = services;
    this.#count = badKeyRecords(services.metrics)();
  }

  /** @param key the record's key in Redis, which does not reveal the API key */
  found(key: string, fault: string): void {
    this.#count.inc();
    const now = this.#services.clock.mono();
    const told = this.#told.get(key);
    if (told !== undefined && now - told.atMono < intervalMs) {
      told.since += 1;
      return;
    }
    this.#told.set(key, { atMono: now, since: 0 });
    this.#services.logger.error(
      { key, fault, unsaid: told?.since ?? 0 },
      "an API key's record is not valid: its requests get 503",
    );
  }
}
