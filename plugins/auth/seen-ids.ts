// What was used once and must not count again, each until its end, in bounded memory: nothing is forgotten before that.

/** About 30 MB when full. */
const maxRemembered = 262_144;
/** How often a full memory is gone through for what is over, at most. */
const sweepMs = 1_000;

/** `full` = it cannot be remembered, so that nobody could tell the next time. */
export type Seen = "first" | "again" | "full";

export class SeenIds {
  readonly #mono: () => number;
  readonly #most: number;
  /** Monotonic milliseconds until which each is remembered, in the order they came. */
  readonly #untilMono = new Map<string, number>();
  #sweptMono = -Infinity;

  constructor(mono: () => number, most = maxRemembered) {
    this.#mono = mono;
    this.#most = most;
  }

  get size(): number {
    return this.#untilMono.size;
  }

  see(id: string, rememberMs: number): Seen {
    const now = this.#mono();
    const until = this.#untilMono.get(id);
    if (until !== undefined && now < until) return "again";
    this.#dropEnded(now);
    if (this.#untilMono.size >= this.#most) return "full";
    this.#untilMono.delete(id);
    this.#untilMono.set(id, now + rememberMs);
    return "first";
  }

  forget(id: string): void {
    this.#untilMono.delete(id);
  }

  /** Those in front as they end; all of them only when there is no more room, as lifetimes may differ. */
  #dropEnded(now: number): void {
    for (const [id, until] of this.#untilMono) {
      if (now < until) break;
      this.#untilMono.delete(id);
    }
    if (this.#untilMono.size < this.#most || now - this.#sweptMono < sweepMs) return;
    this.#sweptMono = now;
    for (const [id, until] of this.#untilMono) if (now >= until) this.#untilMono.delete(id);
  }
}
