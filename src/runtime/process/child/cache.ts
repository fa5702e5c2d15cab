// The cache of a plugin in a process of its own: one in this process over the plugin's own in the sidecar.
import type { Clock, PluginCache } from "../../../plugin-api/services.ts";
import type { Metrics } from "../../../plugin-api/telemetry.ts";
import { TwoTierCache } from "../../services/cache/cache.ts";
import type { SharedTier } from "../../services/cache/store-tier.ts";

type Ask = (service: string, ...args: readonly unknown[]) => Promise<{ readonly value: unknown }>;

const cacheBytes = 2_097_152;

interface CacheParts {
  readonly clock: Clock;
  /** Those that the sidecar takes of a plugin's own cache. */
  readonly counters: Metrics;
  /** @returns the place of what goes before the next message */
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

/** What comes from the sidecar is counted there, and so is memory. */
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
