// Copies of the access-log lines in the capped Redis stream: never waited for on the request's path, a bounded
// number of them under way, what does not fit or fails is dropped and counted.
import type { Counter, Metrics, Store } from "../../src/pipeline/contract.ts";

/** Appends under way at once, over all routes of the process; at about 1 KiB a line this bounds memory. */
const maxInFlight = 256;

export interface LineStream {
  /** @param key stream key without the global prefix */
  append(store: Store, key: string, line: string, maxEntries: number): void;
  /** Resolves when what is under way has ended; each append ends within the store's time limit. */
  settled(): Promise<void>;
}

export function createLineStream(metrics: Metrics): LineStream {
  const dropped = metrics.counter(
    "outrigger_log_stream_dropped_total",
    "Access-log lines that did not reach the Redis stream",
    ["reason"],
  );
  const busy: Counter = dropped("busy");
  const unavailable: Counter = dropped("unavailable");
  const inFlight = new Set<Promise<void>>();
  return {
    append(store, key, line, maxEntries) {
      if (inFlight.size >= maxInFlight) {
        busy.inc();
        return;
      }
      if (!store.up) {
        unavailable.inc();
        return;
      }
      const append: Promise<void> = store
        .append(key, { line }, maxEntries)
        .catch(() => unavailable.inc())
        .finally(() => inFlight.delete(append));
      inFlight.add(append);
    },
    async settled() {
      await Promise.all(inFlight);
    },
  };
}
