// Copies access-log lines to a capped Redis stream. The request path never waits for it: a bounded number of appends is
// in flight, and lines that do not fit or fail are dropped and counted.
import type { Services } from "../../src/plugin-api/contract.ts";
import { streamDropped } from "./metrics.ts";

/** Most appends in flight, over all routes of the process; at about 1 KiB a line this bounds memory. */
const maxInFlight = 256;

export interface LineStream {
  /** @returns a function that appends a line; undefined without Redis, which is logged once */
  open(maxEntries: number): ((line: string) => void) | undefined;
  /** Resolves when the appends in flight have ended; each ends within the store's time limit. */
  settled(): Promise<void>;
}

export function createLineStream(
  services: Pick<Services, "fleet" | "logger" | "metrics" | "store">,
): LineStream {
  const { logger, store } = services;
  const key = `logs:${services.fleet.service}`;
  const dropped = streamDropped(services.metrics);
  const busy = dropped("busy");
  const unavailable = dropped("unavailable");
  const inFlight = new Set<Promise<void>>();
  let warned = false;
  return {
    open(maxEntries) {
      if (store === undefined) {
        if (!warned) logger.warn({ plugin: "logging" }, "stream is on but REDIS_URL is not set");
        warned = true;
        return undefined;
      }
      return function appendLine(line) {
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
      };
    },
    async settled() {
      await Promise.all(inFlight);
    },
  };
}
