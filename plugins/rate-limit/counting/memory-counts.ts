// Counts in this process: all usage in embedded mode, this sidecar's share while Redis is out of reach.
import type { Clock } from "../../../src/plugin-api/contract.ts";
import { free, resetMs, roll, waitMs, type Rule } from "./algorithms.ts";
import type { Reservation } from "../limit.ts";

export class MemoryCounts {
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Decides all reservations of one request at once: when an enforced one does not fit, none takes anything.
   * @param ruleOf the rule that each reservation is decided by
   * @returns whether the request may pass
   */
  take(reservations: readonly Reservation[], ruleOf: (reservation: Reservation) => Rule): boolean {
    const mono = this.#clock.mono();
    let fits = true;
    for (const reservation of reservations) {
      const rule = ruleOf(reservation);
      const { usage } = reservation.caller;
      const now = this.#timeFor(rule, mono);
      roll(usage, rule, now);
      if (reservation.enforced && free(usage, rule, now) < reservation.least) fits = false;
    }
    for (const reservation of reservations) {
      const rule = ruleOf(reservation);
      const { usage } = reservation.caller;
      const now = this.#timeFor(rule, mono);
      const available = free(usage, rule, now);
      if (fits && available >= reservation.least) {
        reservation.granted = Math.min(reservation.most, Math.floor(available));
        usage.level += reservation.granted;
      }
      reservation.remaining = Math.max(0, Math.floor(free(usage, rule, now)));
      reservation.retryMs = waitMs(usage, rule, now, reservation.least);
      reservation.resetMs = resetMs(usage, rule, now);
    }
    return fits;
  }

  // Quotas follow the calendar. The smooth algorithms use the monotonic clock, which nobody can set.
  #timeFor(rule: Rule, mono: number): number {
    return rule.algorithm === "fixed" ? this.#clock.now() : mono;
  }
}
