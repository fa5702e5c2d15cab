// Enforces the least rate at which clients send their bodies, while only the client is waited for. A limit on silence
// alone would let one byte per second hold an upstream connection without end.
import { IntrusiveSet, type IntrusiveItem } from "../v8/intrusive-set.ts";

/** A phone in a tunnel may be silent that long; Kestrel, with the same rate, allows five seconds. */
const paceWindowMs = 10_000;

/** A body that a client is sending. Only `Pace` writes the two numbers, which begin at 0. */
export interface Paced extends IntrusiveItem {
  windowMs: number;
  windowBegan: number;
  /** Bytes that the client has sent so far. */
  moved(): number;
  /** Called once, when the client is too slow. */
  tooSlow(): void;
}

export class Pace {
  readonly #waiting = new IntrusiveSet<Paced>();
  readonly #windowMs: number;
  readonly #tickMs: number;
  readonly #minPerWindow: number;
  #timer: NodeJS.Timeout | undefined = undefined;

  /** @param minBytesPerSecond 0 = any rate is accepted */
  constructor(minBytesPerSecond: number, windowMs = paceWindowMs) {
    this.#windowMs = windowMs;
    this.#tickMs = windowMs / 10;
    this.#minPerWindow = (minBytesPerSecond * windowMs) / 1000;
  }

  /** The client is waited for from now on. */
  watch(each: Paced): void {
    if (this.#minPerWindow === 0 || each.setIndex !== -1) return;
    if (each.windowMs === 0) each.windowBegan = each.moved();
    this.#waiting.add(each);
    this.#timer ??= setInterval(() => this.#tick(), this.#tickMs).unref();
  }

  /** The client is no longer waited for. */
  leave(each: Paced): void {
    this.#waiting.delete(each);
  }

  #tick(): void {
    if (this.#waiting.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
      return;
    }
    for (const each of this.#waiting.all()) {
      each.windowMs += this.#tickMs;
      if (each.windowMs < this.#windowMs) continue;
      const moved = each.moved();
      const slow = moved - each.windowBegan < this.#minPerWindow;
      each.windowMs = 0;
      each.windowBegan = moved;
      if (!slow) continue;
      this.#waiting.delete(each);
      each.tooSlow();
    }
  }
}
