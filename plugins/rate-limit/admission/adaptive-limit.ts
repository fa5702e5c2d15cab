// Learns how many requests one upstream can take at once from how long it takes to answer (a gradient controller). The
// limit falls in proportion while answers are much slower than usual (multiplicative) and grows slowly otherwise
// (additive). Without such evidence nothing is refused, however much is in flight.
import type { Gauge } from "../../../src/plugin-api/contract.ts";

/** At this limit and above, nothing is refused. */
const unlimited = 1000;
const smallestLimit = 16;
/** A step needs this many answers, and this much time since the last step. */
const samplesPerStep = 10;
const stepMs = 100;
/** Older evidence does not count: requests that rarely finish (long polls) are no sign of overload. */
const evidenceMs = 5000;
/** Up to twice the usual wait plus 50 ms counts as noise: a busy core alone causes that much. */
const toleratedFactor = 2;
const toleratedMs = 50;

export class AdaptiveLimit {
  readonly #gauge: Gauge;
  #limit = unlimited;
  #inFlight = 0;
  /** Most in flight since the last step. */
  #peak = 0;
  #sum = 0;
  #samples = 0;
  #steppedAt = -Infinity;
  /** The usual wait for an answer; undefined before the first step. */
  #usualMs: number | undefined = undefined;

  constructor(gauge: Gauge) {
    this.#gauge = gauge;
  }

  /** @param share of the limit that the request's class may fill */
  admits(share: number, nowMono: number): boolean {
    // Never lowered, grown back, or outdated: there is no limit to enforce.
    if (this.#limit >= unlimited || nowMono - this.#steppedAt > evidenceMs) return true;
    return this.#inFlight < this.#limit * share;
  }

  enter(): void {
    this.#inFlight += 1;
    if (this.#inFlight > this.#peak) this.#peak = this.#inFlight;
  }

  leave(): void {
    this.#inFlight -= 1;
  }

  /** Records how long one answer took. */
  sample(upstreamMs: number, nowMono: number): void {
    this.#sum += upstreamMs;
    this.#samples += 1;
    if (this.#samples < samplesPerStep || nowMono - this.#steppedAt < stepMs) return;
    const recentMs = this.#sum / this.#samples;
    this.#step(recentMs);
    this.#steppedAt = nowMono;
    this.#sum = 0;
    this.#samples = 0;
    this.#peak = this.#inFlight;
  }

  #step(recentMs: number): void {
    this.#usualMs ??= recentMs;
    const bearableMs = this.#usualMs * toleratedFactor + toleratedMs;
    // Slow answers with few requests in flight are not caused by load: refusing requests would not help.
    const slow = recentMs > bearableMs && this.#peak > smallestLimit;
    const pressed = this.#peak >= this.#limit / 2;
    if (slow) {
      const gradient = Math.max(0.5, bearableMs / recentMs);
      this.#limit = Math.max(smallestLimit, Math.min(this.#limit, this.#peak) * gradient);
    } else {
      this.#limit = Math.min(unlimited, this.#limit + (pressed ? Math.sqrt(this.#limit) : 1));
    }
    // Waits under pressure hardly raise the usual wait: otherwise the limit would come to accept ever slower answers. A
    // service that has become slower for good is still believed after about ten seconds.
    const rises = slow || pressed ? 0.01 : 0.1;
    this.#usualMs += (recentMs - this.#usualMs) * (recentMs < this.#usualMs ? 0.3 : rises);
    this.#gauge.set(Math.round(this.#limit));
  }
}
