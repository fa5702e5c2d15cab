// One timer for all time limits of a transport: arming a limit only writes a number. While something has to be watched,
// it calls back at every tick, and the owner of the numbers compares them.

/** Limits pass up to this much late, never early. */
export const TICK_MS = 50;

export class CoarseTimer {
  readonly #onTick: (now: number) => void;
  #timer: NodeJS.Timeout | undefined;
  #lastTick = 0;

  /** @param onTick gets the time on the monotonic clock, in milliseconds */
  constructor(onTick: (now: number) => void) {
    this.#onTick = onTick;
  }

  get running(): boolean {
    return this.#timer !== undefined;
  }

  start(): void {
    if (this.#timer !== undefined) return;
    this.#lastTick = performance.now();
    this.#timer = setInterval(() => this.#tick(), TICK_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #tick(): void {
    const now = performance.now();
    const held = now - this.#lastTick > 2 * TICK_MS;
    this.#lastTick = now;
    // Timers run before sockets are read: after the process itself was held up, answers may wait there unread.
    // They are read before immediates run.
    if (held) setImmediate(() => this.#timer !== undefined && this.#onTick(now));
    else this.#onTick(now);
  }
}
