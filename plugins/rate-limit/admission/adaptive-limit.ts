// How many requests one upstream can take at once, learnt from how long it takes to answer them: the limit falls in
// proportion while answers are much slower than usual and grows slowly while they are not (a gradient controller,
// multiplicative down, additive up). Without such evidence nothing is refused, however much is in flight.
import type { Gauge } from "../../../src/plugin-api/contract.ts";

/** From here on nothing is refused. */
const unlimited = 1000;
const smallestLimit = 16;
/** A decision needs this many answers, and this much time since the last one. */
const samplesPerStep = 10;
const stepMs = 100;
/** Evidence older than this counts no more: what finishes rarely (long polls) means no overload. */
const evidenceMs = 5000;
/** Twice the usual wait and 50 ms on top are taken for noise: a busy core alone makes that much. */
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
  /** The usual wait; undefined before the first step. */
  #usualMs: number | undefined = undefined;

  constructor(gauge: Gauge) {
    this.#gauge = gauge;
  }

  /** @param share of the limit that the request's class may fill */
  admits(share: number, nowMono: number): boolean {
    // Never lowered, or all grown back: there is nothing to keep to.
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

  /** One answer's wait. */
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
    // Slow answers while little is in flight are the service's own affair: refusing requests would not help it.
    const slow = recentMs > bearableMs && this.#peak > smallestLimit;
    const pressed = this.#peak >= this.#limit / 2;
    if (slow) {
      const gradient = Math.max(0.5, bearableMs / recentMs);
      this.#limit = Math.max(smallestLimit, Math.min(this.#limit, this.#peak) * gradient);
    } else {
      this.#limit = Math.min(unlimited, this.#limit + (pressed ? Math.sqrt(this.#limit) : 1));
    }
    // Waits under pressure hardly count as usual, or the limit would forgive itself ever more; but a service that has
    // become slower for good is believed after some ten seconds.
    const rises = slow || pressed ? 0.01 : 0.1;
    this.#usualMs += (recentMs - this.#usualMs) * (recentMs < this.#usualMs ? 0.3 : rises);
    this.#gauge.set(Math.round(this.#limit));
  }
}
