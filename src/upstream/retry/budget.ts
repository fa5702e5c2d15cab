// Limits how much of a route's traffic may be retried: when everything fails, retries must not multiply the load on a
// service in trouble. Each pair of route and upstream has its own budget, so that a failing upstream does not use up
// the retries of others.

const slotMs = 1_000;
const slots = 10;
/** Retries always allowed within ten seconds: with little traffic, a percentage would come to nothing. */
const least = 10;

/** Counts events of the last ten seconds. */
class LastSeconds {
  readonly #counts = Array.from({ length: slots }, () => 0);
  #slot = 0;
  #sum = 0;

  add(now: number): void {
    this.#move(now);
    const at = this.#slot % slots;
    this.#counts[at] = (this.#counts[at] as number) + 1;
    this.#sum += 1;
  }

  sum(now: number): number {
    this.#move(now);
    return this.#sum;
  }

  #move(now: number): void {
    const slot = Math.floor(now / slotMs);
    for (let passed = Math.min(slot - this.#slot, slots); passed > 0; passed -= 1) {
      const at = (slot - passed + 1) % slots;
      this.#sum -= this.#counts[at] as number;
      this.#counts[at] = 0;
    }
    this.#slot = slot;
  }
}

export class RetryBudget {
  readonly #requests = new LastSeconds();
  readonly #retries = new LastSeconds();

  /** Counts a request that may be retried. @param now milliseconds on the monotonic clock */
  asked(now: number): void {
    this.#requests.add(now);
  }

  /** @returns whether one more retry is allowed; if so, it is counted */
  take(percent: number, now: number): boolean {
    const most = Math.max(least, (this.#requests.sum(now) * percent) / 100);
    if (this.#retries.sum(now) + 1 > most) return false;
    this.#retries.add(now);
    return true;
  }
}

/** More than a policy has routes. */
const maxKept = 20_000;

/** The budgets of all routes; they outlast policies. */
export class RetryBudgets {
  readonly #budgets = new Map<string, RetryBudget>();

  /** @param route the route's pattern */
  of(route: string, upstream: string): RetryBudget {
    const key = `${route} ${upstream}`;
    const budget = this.#budgets.get(key) ?? new RetryBudget();
    this.#budgets.delete(key);
    this.#budgets.set(key, budget);
    const [oldest] = this.#budgets.keys();
    if (this.#budgets.size > maxKept && oldest !== undefined) this.#budgets.delete(oldest);
    return budget;
  }
}
