// The least rate at which clients send their bodies, while it is them that everything waits for: a limit on silence alone lets
// one byte a second hold a connection to the service for ever.
import { IntrusiveSet, type IntrusiveItem } from "../v8/intrusive-set.ts";

/** A phone in a tunnel may be still for as long; Kestrel, which has the same rate, gives five seconds. */
const paceWindowMs = 10_000;

/** A body on its way. The list alone writes its two numbers, which begin at 0. */
export interface Paced extends IntrusiveItem {
  windowMs: number;
  windowBegan: number;
  /** Bytes that the client has sent so far. */
  moved(): number;
  /** Called once. */
  tooSlow(): void;
}

export class Pace {
  readonly #waiting = new IntrusiveSet<Paced>();
  readonly #windowMs: number;
  readonly #tickMs: number;
  readonly #minPerWindow: number;
  #timer: NodeJS.Timeout | undefined = undefined;

  /** @param leastBytesPerSecond 0 = any rate will do */
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

  /** Somebody else is waited for, or nobody. */
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
