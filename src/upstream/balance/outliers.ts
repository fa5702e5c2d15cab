// Ejects endpoints that fail several requests in a row: for a while, longer each time, and never too many at once.
import type { Time } from "../time.ts";
import type { Endpoint } from "./endpoint.ts";
import type { OutlierRules } from "./spec.ts";

export interface OutlierEvents {
  ejected(endpoint: Endpoint, forMs: number): void;
  returned(endpoint: Endpoint): void;
}

export class Outliers {
  readonly #rules: OutlierRules;
  readonly #time: Time;
  readonly #all: () => readonly Endpoint[];
  readonly #events: OutlierEvents;

  /** @param all returns the current endpoints */
  constructor(rules: OutlierRules, time: Time, all: () => readonly Endpoint[], events: OutlierEvents) {
    this.#rules = rules;
    this.#time = time;
    this.#all = all;
    this.#events = events;
  }

  get nowMono(): number {
    return this.#time.mono();
  }

  succeeded(endpoint: Endpoint): void {
    endpoint.failures = 0;
    if (endpoint.ejections === 0 || endpoint.ejected) return;
    // The endpoint has done well for as long as it was ejected.
    if (this.#time.mono() - endpoint.returnedMono >= endpoint.lastEjectionMs) endpoint.ejections = 0;
  }

  failed(endpoint: Endpoint): void {
    const { consecutiveFailures, baseEjectionMs, maxEjectionMs } = this.#rules;
    // Requests that were in flight at the ejection do not count again.
    if (endpoint.ejected) return;
    endpoint.failures += 1;
    if (consecutiveFailures === 0 || endpoint.failures < consecutiveFailures || !this.#mayEject()) return;
    const forMs = Math.min(maxEjectionMs, baseEjectionMs * 2 ** Math.min(endpoint.ejections, 30));
    endpoint.ejections += 1;
    endpoint.lastEjectionMs = forMs;
    endpoint.ejected = true;
    endpoint.failures = 0;
    endpoint.cancelReturn = this.#time.after(forMs, () => {
      endpoint.ejected = false;
      endpoint.returnedMono = this.#time.mono();
      this.#events.returned(endpoint);
    });
    this.#events.ejected(endpoint, forMs);
  }

  /** Whether one more may be ejected: of two endpoints one always may, of a single one never. */
  #mayEject(): boolean {
    const all = this.#all();
    const { maxEjectionPercent } = this.#rules;
    if (all.length < 2 || maxEjectionPercent === 0) return false;
    const most = Math.max(1, Math.floor((all.length * maxEjectionPercent) / 100));
    return all.filter(({ ejected }) => ejected).length < Math.min(most, all.length - 1);
  }
}
