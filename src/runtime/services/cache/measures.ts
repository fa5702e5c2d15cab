// What a plugin's cache is counted by.
import type { Counter, Gauge, Metrics } from "../../../plugin-api/telemetry.ts";

/** `memory`, `store`: held there; `shared`: another's load was waited for; `load`: loaded; `failed`: could not be. */
export type CacheResult = "memory" | "store" | "shared" | "load" | "failed";

export const cacheMetric = "outrigger_plugin_cache_requests_total";

export const cacheResults: readonly CacheResult[] = ["memory", "store", "shared", "load", "failed"];

export class CacheMeasures {
  readonly #plugin: string;
  readonly #metrics: Metrics | undefined;
  /** Made with the first use: what no plugin uses shows in no metric. */
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
