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

/** Half-open is our own probe and nobody's request: callers that see it open do not ask, so traffic would never close it. */
export function createCircuitBreaker(options: CircuitBreakerOptions): CircuitBreaker {
  let failures = 0;
  let firstAt = 0;
  /** When Redis last answered, and when we last could not have heard it. */
  let answeredAt = performance.now();
  let stalledAt = -Infinity;
  let timer: NodeJS.Timeout | undefined;
  let ended = false;

  function reset(): void {
    failures = 0;
    if (timer === undefined) return;
    clearTimeout(timer);
    timer = undefined;
    options.onChange("answers again");
  }
  function probeLater(): void {
    timer = setTimeout(probe, options.probeMs * (0.75 + Math.random() / 2)).unref();
  }
  function probe(): void {
    const mine = timer;
    options.probe().then(
      () => (timer === mine ? reset() : undefined),
      () => (timer === mine && !ended ? probeLater() : undefined),
    );
  }
  function failed(reason: string, isSilent = true): void {
    if (failures === 0) firstAt = performance.now();
    failures += 1;
    if (failures < options.failures || performance.now() - firstAt < options.overMs) return;
    if (!isSilent || timer !== undefined || ended) return;
    probeLater();
    options.onChange(reason);
  }
  return {
    get open() {
      return timer !== undefined;
    },
    succeeded() {
      failures = 0;
      answeredAt = performance.now();
    },
    failed,
    unanswered(reason, lateMs) {
      const now = performance.now();
      // Kept from running ourselves, by our own work or by other processes: that says nothing of Redis.
      if (lateMs > ownStallMs) stalledAt = now;
      const silentMs = now - Math.max(answeredAt, stalledAt);
      // Not for ever: calls that wait for a dead Redis may be what keeps us from running.
      failed(reason, silentMs >= options.silenceMs || now - answeredAt >= 2 * options.silenceMs);
    },
    reset,
    close() {
      ended = true;
      clearTimeout(timer);
    },
  };
}
