// Keeps the time limits of all connections with one timer: setting a limit only writes a number.
import { type IntrusiveItem, IntrusiveSet } from "../../v8/intrusive-set.ts";

/** An item that may have a time limit. */
export interface Timed extends IntrusiveItem {
  /** In ms on the monotonic clock; 0 = none. */
  readonly deadlineAt: number;
  /** Called when the limit has passed. */
  expire(): void;
}

/** A client's clock may be behind: its connection is kept a little longer than it was told. */
export const keepAliveMarginMs = 1_000;
/** How long bytes after the last request are read and dropped. */
export const unreadMs = 1_000;

/** Limits may pass late, never early: by up to this part of the shortest limit, within the bounds below. */
const latePart = 0.1;
const maxLateMs = 250;
const minLateMs = 10;

export class Deadlines<T extends Timed> {
  readonly #all = new IntrusiveSet<T>();
  readonly #tickMs: number;
  #timer: NodeJS.Timeout | undefined = undefined;

  /** @param shortestMs the shortest of the limits */
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

  /** The items that are there now. */
  all(): readonly T[] {
    return this.#all.all();
  }

  #tick(): void {
    // Timers run before sockets are read. If the process was held up, the awaited bytes may be there unread.
    setImmediate(expire, this);
  }

  expire(): void {
    const now = performance.now();
    // Backwards: a removed item's place is filled by an item that was already looked at.
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
