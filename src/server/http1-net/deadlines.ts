// One timer for the time limits of all connections: to set one is to write a number.
import { type IntrusiveItem, IntrusiveSet } from "../../v8/intrusive-set.ts";

/** What has a limit now, or none. */
export interface Timed extends IntrusiveItem {
  /** On the monotonic clock; 0 = none. */
  readonly deadlineAt: number;
  /** It has passed. */
  expire(): void;
}

/** A client's clock may be behind: what it was told is kept a little longer. */
export const keepAliveMarginMs = 1_000;
/** So long is dropped what comes behind the last request. */
export const unreadMs = 1_000;

/** Limits pass up to this much late, never early: of the shortest, and in milliseconds. */
const latePart = 0.1;
const maxLateMs = 250;
const minLateMs = 10;

export class Deadlines<T extends Timed> {
  readonly #all = new IntrusiveSet<T>();
  readonly #tickMs: number;
  #timer: NodeJS.Timeout | undefined = undefined;

  /** @param shortestMs of the limits */
  constructor(shortestMs: number) {
    this.#tickMs = Math.min(maxLateMs, Math.max(minLateMs, shortestMs * latePart));
  }

  add(each: T): void {
    this.#all.add(each);
    this.#timer ??= setInterval(() => this.#tick(), this.#tickMs).unref();
  }

  delete(each: T): void {
    this.#all.delete(each);
    if (this.#all.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Those that are there now. */
  all(): readonly T[] {
    return this.#all.all();
  }

  #tick(): void {
    // Timers run before sockets are read: after the process itself was held up, what is waited for may be there unread.
    setImmediate(expire, this);
  }

  expire(): void {
    const now = performance.now();
    // Backwards: whoever is taken out meanwhile leaves its place to one that was looked at.
    const items = this.#all;
    for (let i = items.size - 1; i >= 0; i -= 1) {
      const each = items.at(i);
      if (each !== undefined && each.deadlineAt !== 0 && each.deadlineAt <= now) each.expire();
    }
  }
}

function expire<T extends Timed>(deadlines: Deadlines<T>): void {
  deadlines.expire();
}
