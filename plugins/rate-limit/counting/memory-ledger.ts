// Counting in this process: the whole truth in embedded mode, this sidecar's share while Redis is out of reach.
import type { Clock } from "../../../src/plugin-api/contract.ts";
import { free, resetMs, roll, waitMs, type Rule } from "./algorithms.ts";
import type { Claim } from "../limit.ts";

export class MemoryLedger {
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Decides all claims of one request at once: when a hard one does not fit, none takes anything.
   * @param ruleOf the numbers to decide by
   * @returns whether the request may pass
   */
  take(claims: readonly Claim[], ruleOf: (claim: Claim) => Rule): boolean {
    const mono = this.#clock.mono();
    let fits = true;
    for (const claim of claims) {
      const rule = ruleOf(claim);
      const { usage } = claim.caller;
      const now = this.#timeFor(rule, mono);
      roll(usage, rule, now);
      if (claim.hard && free(usage, rule, now) < claim.least) fits = false;
    }
    for (const claim of claims) {
      const rule = ruleOf(claim);
      const { usage } = claim.caller;
      const now = this.#timeFor(rule, mono);
      const available = free(usage, rule, now);
      if (fits && available >= claim.least) {
        claim.granted = Math.min(claim.most, Math.floor(available));
        usage.level += claim.granted;
      }
      claim.remaining = Math.max(0, Math.floor(free(usage, rule, now)));
      claim.retryMs = waitMs(usage, rule, now, claim.least);
      claim.resetMs = resetMs(usage, rule, now);
    }
    return fits;
  }

  // Quotas follow the calendar. What is smooth follows the clock that nobody can set.
  #timeFor(rule: Rule, mono: number): number {
    return rule.algorithm === "fixed" ? this.#clock.now() : mono;
  }
}
