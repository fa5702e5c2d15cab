// The clock and timers for retries, health checks and the like; tests pass their own.

export interface Time {
  /** Milliseconds on a clock that only goes forward. */
  mono(): number;
  /** Calls `call` once after `ms`. @returns a function that cancels it */
  after(ms: number, call: () => void): () => void;
}

export const systemTime: Time = {
  mono: () => performance.now(),
  after: (ms, call) => {
    const timer = setTimeout(call, ms);
    return () => clearTimeout(timer);
  },
};
