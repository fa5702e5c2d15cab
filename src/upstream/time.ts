// The time that retries, health checks and their like are told by; tests hand in another.

export interface Time {
  /** Milliseconds on a clock that only goes forward. */
  mono(): number;
  /** Calls once, that much later. @returns calls it off */
  after(ms: number, call: () => void): () => void;
}

export const systemTime: Time = {
  mono: () => performance.now(),
  after: (ms, call) => {
    const timer = setTimeout(call, ms);
    return () => clearTimeout(timer);
  },
};
