// Creates the cache of a plugin in a separate process: a tier in this process over the plugin's cache in the sidecar.
import type { Clock, PluginCache } from "../../../plugin-api/services.ts";
import type { Metrics } from "../../../plugin-api/telemetry.ts";
import { TwoTierCache } from "../../services/cache/cache.ts";
import type { SharedTier } from "../../services/cache/store-tier.ts";

type Ask = (service: string, ...args: readonly unknown[]) => Promise<{ readonly value: unknown }>;

const cacheBytes = 2_097_152;

interface CacheParts {
  readonly clock: Clock;
  /** Takes the counters that the sidecar accepts for a plugin's cache. */
  readonly counters: Metrics;
  /** Queues bytes to go before the next message. @returns their place among those */
  readonly bytes: (content: Buffer) => number;
}

export function cacheOf(plugin: string, ask: Ask, { clock, counters, bytes }: CacheParts): PluginCache {
  const store: SharedTier = {
    up: true,
    async getBytes(key) {
      const { value } = await ask("cache.get", key);
      return typeof value === "string" ? Buffer.from(value) : null;
    },
    async set(key, entry, { ttlMs = 0 } = {}) {
      await ask("cache.set", key, bytes(Buffer.from(entry)), ttlMs);
      return true;
    },
    async delete(key) {
      await ask("cache.delete", key);
      return 1;
    },
  };
  const shared = { store, prefix: "", seal: undefined };
  return new TwoTierCache({ plugin, maxBytes: cacheBytes, shared, metrics: cacheMetrics(counters), clock });
}

/** Results of the store tier and memory are counted in the sidecar, so they are not counted here. */
function cacheMetrics(counters: Metrics): Metrics {
  const nothing = { inc() {}, set() {}, observe() {} };
  return {
    counter(name, help, labels) {
      const family = counters.counter(name, help, labels);
      return (...values) => (values[1] === "store" ? nothing : family(...values));
    },
    gauge: () => () => nothing,
    histogram: () => () => nothing,
  };
}
