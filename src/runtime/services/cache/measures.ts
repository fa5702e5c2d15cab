// Counts the use of a plugin's cache.
import type { Counter, Gauge, Metrics } from "../../../plugin-api/telemetry.ts";

/**
 * `memory`, `store`: found there; `shared`: waited for another caller's load; `load`: loaded; `failed`: the load
 * failed.
 */
export type CacheResult = "memory" | "store" | "shared" | "load" | "failed";

export const cacheMetric = "outrigger_plugin_cache_requests_total";

export const cacheResults: readonly CacheResult[] = ["memory", "store", "shared", "load", "failed"];

export class CacheMeasures {
  readonly #plugin: string;
  readonly #metrics: Metrics | undefined;
  /** Created on first use, so that a plugin without cache use has no metrics. */
  #counters: Readonly<Record<CacheResult, Counter>> | undefined;
  #bytes: Gauge | undefined;

  constructor(plugin: string, metrics: Metrics | undefined) {
    this.#plugin = plugin;
    this.#metrics = metrics;
  }

  count(result: CacheResult): void {
    if (this.#metrics === undefined) return;
    this.#counters ??= this.#resolve(this.#metrics);
    this.#counters[result].inc();
  }

  bytes(bytes: number): void {
    this.#bytes ??= this.#metrics?.gauge(
      "outrigger_plugin_cache_bytes",
      "Memory that caches of plugins take",
      ["plugin"],
    )(this.#plugin);
    this.#bytes?.set(bytes);
  }

  #resolve(metrics: Metrics): Readonly<Record<CacheResult, Counter>> {
    const family = metrics.counter(
      cacheMetric,
      "What plugins asked their caches for, by where it came from",
      ["plugin", "result"],
    );
    const pairs = cacheResults.map((result) => [result, family(this.#plugin, result)]);
    return Object.fromEntries(pairs) as Record<CacheResult, Counter>;
  }
}
