// Limits how many costly operations run at the same time. A bounded number waits for a bounded time; the rest is
// refused. Use one semaphore for each dependency: if two share one, a hanging one blocks the other.

interface Waiter {
  readonly timer: NodeJS.Timeout;
  readonly enter: () => void;
}

/** Shorter than any client waits, longer than a burst of signatures takes. */
const maxWaitMs = 1_000;

export class Semaphore {
  readonly #width: number;
  readonly #maxWaiting: number;
  readonly #maxOfOne: number;
  /** Waiting operations, by `who`. */
  readonly #lines = new Map<string, Set<Waiter>>();
  #waiting = 0;
  #running = 0;

  /** @param maxOfOne how many of `maxWaiting` may wait for the same `who` */
  constructor(width: number, maxWaiting: number, maxOfOne = maxWaiting) {
    this.#width = width;
    this.#maxWaiting = maxWaiting;
    this.#maxOfOne = maxOfOne;
  }

  /** Whether the next operation would have to wait. */
  get isFull(): boolean {
    return this.#running >= this.#width;
  }

  /**
   * @param who the operation is for. Those who wait take turns, so that many waiters of one do not keep out another.
   * @returns the operation's result; undefined when too many wait already or no place became free in time
   */
  async run<T>(operation: () => Promise<T>, who = ""): Promise<T | undefined> {
    if (!this.isFull) this.#running += 1;
    else if (!this.#hasRoom(who) || !(await this.#place(who))) return undefined;
    try {
      return await operation();
    } finally {
      this.#leave();
    }
  }

  #hasRoom(who: string): boolean {
    return this.#waiting < this.#maxWaiting && (this.#lines.get(who)?.size ?? 0) < this.#maxOfOne;
  }

  #place(who: string): Promise<boolean> {
    const line = this.#lines.get(who) ?? new Set();
    this.#lines.set(who, line);
    this.#waiting += 1;
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        line.delete(waiter);
        if (line.size === 0) this.#lines.delete(who);
        this.#waiting -= 1;
        resolve(false);
      }, maxWaitMs);
      const waiter: Waiter = { timer, enter: () => resolve(true) };
      line.add(waiter);
    });
  }

  /** Hands the place to the next in turn, so that `#running` does not change. */
  #leave(): void {
    const [[who, line] = ["", new Set<Waiter>()]] = this.#lines;
    const [next] = line;
    if (next === undefined) {
      this.#running -= 1;
      return;
    }
    line.delete(next);
    this.#lines.delete(who);
    if (line.size > 0) this.#lines.set(who, line);
    this.#waiting -= 1;
    clearTimeout(next.timer);
    next.enter();
  }
}
