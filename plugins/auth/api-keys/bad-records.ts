// Records of API keys that cannot be read: counted each time, and told once a minute for each.
import { boundedCache, type Counter, type Services } from "../../../src/plugin-api/contract.ts";
import { badKeyRecords } from "../metrics.ts";

const intervalMs = 60_000;
/** Beyond them the one that was seen longest ago is told again before its minute is over. */
const maxTold = 1_024;

export class BadRecords {
  readonly #services: Services;
  readonly #count: Counter;
  /** When it was told, monotonic milliseconds, and how often it was seen since. */
  readonly #told = boundedCache<{ atMono: number; since: number }>(maxTold);

  constructor(services: Services) {
    this.#services = services;
    this.#count = badKeyRecords(services.metrics)();
  }

  /** @param key where the record is in Redis; it does not tell the API key */
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
