// Limits the CPU time of the request-serving thread that guests use outside of requests: in timers, queues and answers
// to their calls. Each such callback has a time limit, but a guest with many of them would still delay all requests.

/** CPU time that may be saved up, in milliseconds, and the share of elapsed time that is added to it. */
interface Rate {
  readonly maxMs: number;
  readonly share: number;
}

/** Enough for a few of the longest callbacks in a row. */
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

  /** @returns milliseconds until there is time again; 0 = there is some now */
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

/** The background time of one guest, which counts against that of all guests too. */
export class BackgroundTime {
  readonly #own = new Allowance(ofOne);

  /** @returns milliseconds that the guest has to wait; 0 = none */
  get waitMs(): number {
    return Math.max(this.#own.waitMs, shared.waitMs);
  }

  /** Measures the CPU time of this thread only: what another thread does in the meantime is not counted. */
  count(work: () => void): void {
    const before = process.threadCpuUsage();
    work();
    const { user, system } = process.threadCpuUsage(before);
    this.#own.spend((user + system) / 1_000);
    shared.spend((user + system) / 1_000);
  }
}
