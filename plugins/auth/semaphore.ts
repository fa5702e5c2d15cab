// Bounds how many of a costly operation run at the same time; a bounded number waits a bounded time, the rest is turned
// away. One semaphore a dependency: where two share one, what hangs in the first shuts out the second.

interface Waiter {
  readonly timer: NodeJS.Timeout;
  readonly enter: () => void;
}

/** Shorter than any client's patience, longer than a burst of signatures takes. */
const maxWaitMs = 1_000;

export class Semaphore {
  readonly #width: number;
  readonly #maxWaiting: number;
  readonly #maxOfOne: number;
  /** By who waits. */
  readonly #lines = new Map<string, Set<Waiter>>();
  #waiting = 0;
  #running = 0;

  /** @param maxOfOne how many of `maxWaiting` may wait for one */
  constructor(width: number, maxWaiting: number, maxOfOne = maxWaiting) {
    this.#width = width;
    this.#maxWaiting = maxWaiting;
    this.#maxOfOne = maxOfOne;
  }

  /** Whether the next one would have to wait. */
  get isFull(): boolean {
    return this.#running >= this.#width;
  }

  /**
   * @param who it is for: whoever waits takes turns, so that nobody's many keep out another's one
   * @returns the operation's result, or undefined when too many wait already or no place came free in time
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

  /** Hands the place over to whose turn it is, so that `#running` stays as it is. */
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
