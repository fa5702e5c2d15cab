// Bounds the requests in flight per caller: one permit per request, a bounded queue for those that wait. Every permit
// is released exactly once, whatever the outcome of the request.
import type { Clock } from "../../../src/plugin-api/contract.ts";

export interface ConcurrencyOptions {
  readonly limit: number;
  /** How many may wait for a permit. */
  readonly queue: number;
  readonly queueTimeoutMs: number;
}

/** The right of one request to be in flight. */
export interface Permit {
  /** Releases the permit; only the first call has an effect. */
  release(): void;
}

interface Lane {
  inFlight: number;
  readonly waiting: Waiter[];
}

interface Waiter {
  readonly deadlineMono: number;
  readonly settle: (permit: Permit | undefined) => void;
}

export class Concurrency {
  readonly #options: ConcurrencyOptions;
  readonly #clock: Clock;
  /** Only callers with requests in flight or waiting: bounded by the number of open requests. */
  readonly #lanes = new Map<string, Lane>();
  #timer: NodeJS.Timeout | undefined = undefined;

  /** @param workers of the sidecar: each gets its part of the permits (at least one) and of the queue */
  constructor(options: ConcurrencyOptions, clock: Clock, workers = 1) {
    const { limit, queue, queueTimeoutMs } = options;
    this.#options = {
      limit: Math.max(1, Math.floor(limit / workers)),
      queue: Math.floor(queue / workers),
      queueTimeoutMs,
    };
    this.#clock = clock;
  }

  /** Requests in flight and waiting, summed over all callers. */
  counts(): { readonly inFlight: number; readonly waiting: number } {
    let inFlight = 0;
    let waiting = 0;
    for (const lane of this.#lanes.values()) {
      inFlight += lane.inFlight;
      waiting += lane.waiting.length;
    }
    return { inFlight, waiting };
  }

  get idle(): boolean {
    return this.#lanes.size === 0;
  }

  /**
   * Takes a permit at once, or waits for one when the queue has room.
   * @param signal ends the wait (client gone or hook out of time); called only when there is a wait
   * @returns undefined when the queue is full; the promise gives undefined when the wait was in vain
   */
  enter(caller: string, signal: () => AbortSignal): Permit | undefined | Promise<Permit | undefined> {
    let lane = this.#lanes.get(caller);
    if (lane === undefined) {
      lane = { inFlight: 0, waiting: [] };
      this.#lanes.set(caller, lane);
    }
    // A new request may not overtake those that wait.
    if (lane.inFlight < this.#options.limit && lane.waiting.length === 0) return this.#occupy(caller, lane);
    if (lane.waiting.length >= this.#options.queue) return undefined;
    return this.#wait(lane, signal());
  }

  #occupy(caller: string, lane: Lane): Permit {
    lane.inFlight += 1;
    let held = true;
    return {
      release: () => {
        if (!held) return;
        held = false;
        lane.inFlight -= 1;
        this.#admitNext(caller, lane);
      },
    };
  }

  #admitNext(caller: string, lane: Lane): void {
    while (lane.inFlight < this.#options.limit) {
      const next = lane.waiting.shift();
      if (next === undefined) break;
      next.settle(this.#occupy(caller, lane));
    }
    if (lane.inFlight === 0 && lane.waiting.length === 0) this.#lanes.delete(caller);
  }

  #wait(lane: Lane, signal: AbortSignal): Promise<Permit | undefined> {
    if (signal.aborted) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      const leave = (): void => {
        const position = lane.waiting.indexOf(waiter);
        if (position === -1) return;
        lane.waiting.splice(position, 1);
        waiter.settle(undefined);
      };
      const waiter: Waiter = {
        deadlineMono: this.#clock.mono() + this.#options.queueTimeoutMs,
        settle(permit) {
          signal.removeEventListener("abort", leave);
          resolve(permit);
        },
      };
      signal.addEventListener("abort", leave, { once: true });
      lane.waiting.push(waiter);
      this.#watch();
    });
  }

  // One timer serves all queues and runs only while a request waits.
  #watch(): void {
    if (this.#timer !== undefined) return;
    const everyMs = Math.max(5, Math.min(100, this.#options.queueTimeoutMs / 4));
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.expire();
      if (this.counts().waiting > 0) this.#watch();
    }, everyMs);
  }

  /** Ends the wait of every request that has waited too long. */
  expire(): void {
    const now = this.#clock.mono();
    for (const lane of this.#lanes.values()) {
      while (lane.waiting[0] !== undefined && lane.waiting[0].deadlineMono <= now) {
        lane.waiting.shift()?.settle(undefined);
      }
    }
  }
}
