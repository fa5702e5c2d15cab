// Stops asking a Redis that does not answer, and finds out by itself when it does again.

export interface CircuitBreaker {
  /** True: do not ask. */
  readonly open: boolean;
  succeeded(): void;
  /** Redis answered that it can serve nobody now. */
  failed(reason: string): void;
  /** No answer came in time. @param lateMs how much later than asked for our own timer told of that */
  unanswered(reason: string, lateMs: number): void;
  /** A new connection has answered its handshake: closed. */
  reset(): void;
  close(): void;
}

export interface CircuitBreakerOptions {
  /** Consecutive failures that open it … */
  readonly failures: number;
  /** … once they go on for so long: many calls that fail in one stall are one failure. */
  readonly overMs: number;
  /** Unanswered calls open it when nothing at all was answered for so long. */
  readonly silenceMs: number;
  /** Pause before each probe, give or take a quarter. */
  readonly probeMs: number;
  /** Asks Redis once, within a time limit of its own. */
  probe(): Promise<unknown>;
  onChange(reason: string): void;
}

/** A timer that is so late was held up in this process. */
const ownStallMs = 25;

/** How long nothing at all was heard of Redis. */
class Silence {
  /** When Redis last answered, and when we last could not have heard it. */
  #answeredAt = performance.now();
  #stalledAt = -Infinity;

  end(): void {
    this.#answeredAt = performance.now();
  }

  /** @param lateMs by how much the limit of an unanswered call came too late */
  lasts(lateMs: number, limitMs: number): boolean {
    const now = performance.now();
    // Kept from running ourselves, by our own work or by other processes: that says nothing of Redis.
    if (lateMs > ownStallMs) this.#stalledAt = now;
    const silentMs = now - Math.max(this.#answeredAt, this.#stalledAt);
    // Not for ever: calls that wait for a dead Redis may be what keeps us from running.
    return silentMs >= limitMs || now - this.#answeredAt >= 2 * limitMs;
  }
}

/** After the pause, give or take a quarter. */
function later(pauseMs: number, work: () => void): NodeJS.Timeout {
  return setTimeout(work, pauseMs * (0.75 + Math.random() / 2)).unref();
}

export function createCircuitBreaker(options: CircuitBreakerOptions): CircuitBreaker {
  return new ProbingBreaker(options);
}

/** Half-open is our own probe and nobody's request: callers that see it open do not ask, so traffic would never close it. */
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
