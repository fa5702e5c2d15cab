// Keeps the state of a plugin's client per host: its breaker, and how many retries are left.
import { boundedCache } from "../../../plugin-api/bounded-cache.ts";
import { Breaker } from "../../breaker.ts";

/** Most retries saved up, and how much of one each call adds: in the long run one retry per five calls. */
const maxRetries = 10;
const retriesPerCall = 0.2;

/** Limits retries: when a host fails, retrying every call would add to the load it cannot bear. */
class RetryBudget {
  #left = maxRetries;

  /** Records a first try. */
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

/** Hosts of one plugin; the least recently used are forgotten. */
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
