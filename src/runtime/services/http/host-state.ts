// What a plugin's client keeps of one host: whether it answers, and how many of its calls may be tried again.
import { boundedCache } from "../../../plugin-api/bounded-cache.ts";
import { Breaker } from "../../breaker.ts";

/** Most retries that are saved up, and how much of one each call adds: one call in five, in the long run. */
const maxRetries = 10;
const retriesPerCall = 0.2;

/** When a host fails, trying everything again would only be more of what it cannot take. */
class RetryBudget {
  #left = maxRetries;

  /** A first try was made. */
  add(): void {
    this.#left = Math.min(maxRetries, this.#left + retriesPerCall);
  }

  /** @returns whether one more retry may be made */
  take(): boolean {
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}

export class HostState {
  readonly breaker = new Breaker();
  readonly budget = new RetryBudget();
}

/** Of one plugin; those that were asked longest ago are forgotten. */
const maxHosts = 256;

export class HostStates {
  readonly #byOrigin = boundedCache<HostState>(maxHosts);

  of(origin: string): HostState {
    let state = this.#byOrigin.get(origin);
    if (state === undefined) this.#byOrigin.set(origin, (state = new HostState()));
    return state;
  }

  clear(): void {
    this.#byOrigin.clear();
  }
}
