// The time of the thread that serves which guests take outside of requests: at their timers, their queues and the answers
// to their calls. Each of these ends at the time limit; a guest with many of them would hold everybody up all the same.

/** CPU that may be saved up, in milliseconds, and the part of the thread's time that comes back. */
interface Rate {
  readonly maxMs: number;
  readonly share: number;
}

/** A few calls of the longest kind in a row. */
const ofOne: Rate = { maxMs: 200, share: 0.1 };
const ofAll: Rate = { maxMs: 400, share: 0.25 };

class Allowance {
  readonly #rate: Rate;
  #leftMs: number;
  #atMono = performance.now();

  constructor(rate: Rate) {
    this.#rate = rate;
    this.#leftMs = rate.maxMs;
  }

  /** How long until there is some; 0 = there is. */
  get waitMs(): number {
    const { maxMs, share } = this.#rate;
    const now = performance.now();
    this.#leftMs = Math.min(maxMs, this.#leftMs + (now - this.#atMono) * share);
    this.#atMono = now;
    return this.#leftMs > 0 ? 0 : Math.ceil((1 - this.#leftMs) / share);
  }

  spend(ms: number): void {
    this.#leftMs -= ms;
  }
}

const shared = new Allowance(ofAll);

/** Of one guest. */
export class BackgroundTime {
  readonly #own = new Allowance(ofOne);

  /** How long the guest has to wait; 0 = not at all. */
  get waitMs(): number {
    return Math.max(this.#own.waitMs, shared.waitMs);
  }

  /** What another thread does in the meantime costs nothing here. */
  count(work: () => void): void {
    const before = process.threadCpuUsage();
    work();
    const { user, system } = process.threadCpuUsage(before);
    this.#own.spend((user + system) / 1_000);
    shared.spend((user + system) / 1_000);
  }
}
