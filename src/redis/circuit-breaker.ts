// Stops calls to a Redis that does not answer, and finds out by itself when it answers again.

export interface CircuitBreaker {
  /** True: make no call. */
  readonly open: boolean;
  succeeded(): void;
  /** Redis answered that it cannot serve anyone now. */
  failed(reason: string): void;
  /** No answer came in time. @param lateMs how much later than its time limit the call's own timer fired */
  unanswered(reason: string, lateMs: number): void;
  /** A new connection has completed its handshake: closes the breaker. */
  reset(): void;
  close(): void;
}

export interface CircuitBreakerOptions {
  /** Consecutive failures that open the breaker … */
  readonly failures: number;
  /** … once they span this time: many calls that fail in one stall are one failure. */
  readonly overMs: number;
  /** Unanswered calls open the breaker if no call was answered for this long. */
  readonly silenceMs: number;
  /** Pause before each probe, plus or minus a quarter. */
  readonly probeMs: number;
  /** Calls Redis once, within a time limit of its own. */
  probe(): Promise<unknown>;
  onChange(reason: string): void;
}

/** A timer that is this late was held up in this process. */
const ownStallMs = 25;

/** Measures how long Redis has been silent. */
class Silence {
  /** When Redis last answered, and when this process last could not have received an answer. */
  #answeredAt = performance.now();
  #stalledAt = -Infinity;

  end(): void {
    this.#answeredAt = performance.now();
  }

  /** @param lateMs how late the timer of an unanswered call fired */
  lasts(lateMs: number, limitMs: number): boolean {
    const now = performance.now();
    // This process did not run, due to its own work or to other processes: that says nothing about Redis.
    if (lateMs > ownStallMs) this.#stalledAt = now;
    const silentMs = now - Math.max(this.#answeredAt, this.#stalledAt);
    // With a limit: calls that wait for a dead Redis may themselves be what holds this process up.
    return silentMs >= limitMs || now - this.#answeredAt >= 2 * limitMs;
  }
}

/** Runs `work` after the pause, plus or minus a quarter. */
function later(pauseMs: number, work: () => void): NodeJS.Timeout {
  return setTimeout(work, pauseMs * (0.75 + Math.random() / 2)).unref();
}

export function createCircuitBreaker(options: CircuitBreakerOptions): CircuitBreaker {
  return new ProbingBreaker(options);
}

/** Only its own probe tests a half-open state: callers make no call while it is open, so they would never close it. */
class ProbingBreaker implements CircuitBreaker {
  readonly #options: CircuitBreakerOptions;
  readonly #silence = new Silence();
  #failures = 0;
  #firstAt = 0;
  #timer: NodeJS.Timeout | undefined;
  #ended = false;

  constructor(options: CircuitBreakerOptions) {
    this.#options = options;
  }

  get open(): boolean {
    return this.#timer !== undefined;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#silence.end();
  }

  failed(reason: string): void {
    this.#count(reason, true);
  }

  unanswered(reason: string, lateMs: number): void {
    this.#count(reason, this.#silence.lasts(lateMs, this.#options.silenceMs));
  }

  reset(): void {
    this.#failures = 0;
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#options.onChange("answers again");
  }

  close(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
  }

  #count(reason: string, isSilent: boolean): void {
    if (this.#failures === 0) this.#firstAt = performance.now();
    this.#failures += 1;
    const { failures, overMs } = this.#options;
    if (this.#failures < failures || performance.now() - this.#firstAt < overMs) return;
    if (!isSilent || this.open || this.#ended) return;
    this.#probeLater();
    this.#options.onChange(reason);
  }

  #probeLater(): void {
    const mine = later(this.#options.probeMs, () => {
      this.#options.probe().then(
        () => (this.#timer === mine ? this.reset() : undefined),
        () => (this.#timer === mine && !this.#ended ? this.#probeLater() : undefined),
      );
    });
    this.#timer = mine;
  }
}
