// Creates the metrics that guests define. They appear on the sidecar's metrics page as `outrigger_<plugin>_<name>`.
import type { Metrics } from "../../plugin-api/services.ts";
import { guestBounds } from "./bounds.ts";
import { fromBytes } from "./bytes.ts";

type Change = (value: number) => void;

/** Guests mostly measure milliseconds and bytes. */
const buckets = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 10_000, 100_000, 1_000_000];

export class GuestMetrics {
  readonly #metrics: Metrics;
  readonly #prefix: string;
  /** By type and name. */
  readonly #changes = new Map<string, Change>();
  readonly #names = new Set<string>();

  constructor(metrics: Metrics, plugin: string) {
    this.#metrics = metrics;
    this.#prefix = `outrigger_${plugin.replaceAll("-", "_")}_`;
  }

  /**
   * @param type 0 = counter, 1 = gauge, 2 = histogram
   * @param bytes name of the metric
   * @returns a function that takes each change. All guests of the same package share it
   */
  define(type: number, bytes: string): Change {
    const name = fromBytes(bytes).replaceAll(/[^a-zA-Z0-9_]/g, "_");
    const key = `${type} ${name}`;
    const known = this.#changes.get(key);
    if (known !== undefined) return known;
    // Several of a guest's names may map to one name here, even with different types.
    if (this.#names.has(name) || this.#names.size >= guestBounds.metrics) return () => {};
    this.#names.add(name);
    const change = this.#makeOrNone(type, this.#prefix + name);
    this.#changes.set(key, change);
    return change;
  }

  // A previous version of the plugin may have defined the name with another type.
  #makeOrNone(type: number, name: string): Change {
    try {
      return this.#make(type, name);
    } catch {
      return () => {};
    }
  }

  #make(type: number, name: string): Change {
    const help = "Defined by the plugin.";
    if (type === 0) {
      const counter = this.#metrics.counter(name, help)();
      return (value) => counter.inc(value);
    }
    if (type === 1) {
      const gauge = this.#metrics.gauge(name, help)();
      return (value) => gauge.set(value);
    }
    const histogram = this.#metrics.histogram(name, help, [], buckets)();
    return (value) => histogram.observe(value);
  }
}
