// Restricts the metrics for one plugin: names of its own and those it declares, and a limit of series.
import type { PluginNeeds } from "../../plugin-api/services.ts";
import type { Metrics } from "../../plugin-api/telemetry.ts";
import { NotDeclared } from "./not-declared.ts";
import { countRefusal } from "./quota-use.ts";

/** The part of a plugin that its metrics need. */
export interface MetricsUser {
  readonly name: string;
  readonly needs?: PluginNeeds;
}

function metricPrefixes({ name, needs }: MetricsUser): string[] {
  return [`outrigger_${name.replaceAll("-", "_")}_`, ...(needs?.metrics ?? [])];
}

function longest(prefixes: readonly string[], name: string): number {
  return Math.max(0, ...prefixes.filter((prefix) => name.startsWith(prefix)).map(({ length }) => length));
}

/**
 * @param others the plugins beside it; a metric belongs to the plugin with the longest matching prefix
 * @param maxSeries of all its metrics together; Infinity = only the limit of each family
 */
export function scopedMetrics(
  user: MetricsUser,
  metrics: Metrics,
  others: readonly MetricsUser[],
  maxSeries = Infinity,
): Metrics {
  const own = metricPrefixes(user);
  const foreign = others.filter(({ name }) => name !== user.name).flatMap(metricPrefixes);
  const check = (name: string): void => {
    const length = longest(own, name);
    if (length === 0 || length < longest(foreign, name))
      throw new NotDeclared(user.name, `the metric ${name}`, "metrics");
  };
  const bound = maxSeries === Infinity ? undefined : new SeriesBound(user.name, metrics, maxSeries);
  const within = <Child>(name: string, nothing: Child, family: () => Family<Child>): Family<Child> => {
    check(name);
    return bound === undefined ? family() : bound.within(name, nothing, family);
  };
  return {
    counter: (name, ...rest) => within(name, { inc() {} }, () => metrics.counter(name, ...rest)),
    gauge: (name, ...rest) => within(name, { set() {} }, () => metrics.gauge(name, ...rest)),
    histogram: (name, ...rest) => within(name, { observe() {} }, () => metrics.histogram(name, ...rest)),
  };
}

type Family<Child> = (...values: string[]) => Child;

/** A series over the limit counts as `other` in its family. A family over the limit is not counted. */
class SeriesBound {
  readonly #plugin: string;
  readonly #metrics: Metrics;
  readonly #max: number;
  readonly #families = new Set<string>();
  readonly #series = new Set<string>();

  constructor(plugin: string, metrics: Metrics, max: number) {
    this.#plugin = plugin;
    this.#metrics = metrics;
    this.#max = max;
  }

  within<Child>(name: string, nothing: Child, make: () => Family<Child>): Family<Child> {
    if (!this.#admits(this.#families, name)) return () => nothing;
    const family = make();
    return (...values) =>
      this.#admits(this.#series, [name, ...values].join("\xff"))
        ? family(...values)
        : family(...values.map(() => "other"));
  }

  #admits(known: Set<string>, key: string): boolean {
    if (known.has(key)) return true;
    if (known.size < this.#max) return known.add(key).has(key);
    countRefusal({ plugin: this.#plugin, quota: "metric_series", metrics: this.#metrics });
    return false;
  }
}
