// How much of a route's traffic may be sent again: where everything fails, tries must not multiply what a service in
// trouble has to bear. Each route has its own, at each upstream: where one fails, the others' retries are not used up.

const slotMs = 1_000;
const slots = 10;
/** Of the last ten seconds; where there is little traffic a percentage would come to nothing. */
const least = 10;

/** Counts of the last ten seconds. */
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

  /** A request that may be sent again is sent. @param now milliseconds on the monotonic clock */
  asked(now: number): void {
    this.#requests.add(now);
  }

  /** @returns whether one more may be sent again, which is counted then */
  take(percent: number, now: number): boolean {
    const most = Math.max(least, (this.#requests.sum(now) * percent) / 100);
    if (this.#retries.sum(now) + 1 > most) return false;
    this.#retries.add(now);
    return true;
  }
}

/** More than a policy has routes. */
const maxKept = 20_000;

/** Those of all routes, which last from policy to policy. */
export class RetryBudgets {
  readonly #budgets = new Map<string, RetryBudget>();

  /** @param route its pattern */
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
