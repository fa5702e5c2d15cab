// Takes what a plugin's process sends without waiting for an answer: log lines, metric changes, exceptions of its
// timers. Each is limited per second, and what goes over the limit is counted.
import { textOf } from "../../plugin-api/error-text.ts";
import type { Aggregation, Counter, Services } from "../../plugin-api/services.ts";
import { cacheMetric, cacheResults } from "../services/cache/measures.ts";
import { quotaMetric } from "../services/quota-use.ts";
import type { MetricChange } from "./protocol.ts";
import { list, shortened, text, texts, Unreadable } from "./received.ts";

const perSecond = { lines: 100, changes: 2_000 };
const maxFaults = 10;
const faultWindowMs = 60_000;
const maxFamilies = 64;
const maxTold = 16;
const levels: ReadonlySet<string> = new Set(["debug", "info", "warn", "error"]);
type Level = "debug" | "info" | "warn" | "error";

/** Metrics of the sidecar that the plugin's cache may also count in, and the label values it may use there. */
export const sharedMetrics: ReadonlyMap<string, ReadonlySet<string>> = new Map([
  [cacheMetric, new Set<string>(cacheResults)],
  [quotaMetric, new Set(["cache_loads"])],
]);

export class Effects {
  readonly #plugin: string;
  readonly #services: Services;
  readonly #prefix: string;
  readonly #dropped: Counter;
  readonly #families = new Set<string>();
  readonly #faults: number[] = [];
  readonly #told = new Set<string>();
  #second = 0;
  #lines = 0;
  #changes = 0;

  constructor(plugin: string, services: Services) {
    this.#plugin = plugin;
    this.#services = services;
    this.#prefix = `outrigger_${plugin.replaceAll("-", "_")}_`;
    this.#dropped = services.metrics.counter(
      droppedMetric,
      "Lines of a plugin's log and changes of its metrics that were too many",
      ["plugin"],
    )(plugin);
  }

  /** @param message `log`, level, message, fields as JSON; or `metrics`, changes */
  take(message: readonly unknown[]): void {
    if (message[0] === "log") this.#within("lines", () => this.#log(message));
    else if (Array.isArray(message[1])) {
      for (const change of message[1] as readonly unknown[])
        this.#within("changes", () => this.#change(list(change, "a change") as MetricChange));
    }
  }

  /**
   * Runs an effect. One over the limit, or one that fails, is dropped and counted. Each reason for a failure is logged
   * once.
   */
  #within(what: "lines" | "changes", effect: () => void): void {
    if (!this.#counts(what)) return;
    try {
      effect();
    } catch (error) {
      this.#dropped.inc();
      const why = textOf(error).slice(0, 200);
      if (this.#told.has(why) || this.#told.size >= maxTold) return;
      this.#told.add(why);
      this.#services.logger.warn({ why }, "what a plugin says for the log or its metrics is not taken");
    }
  }

  #log(message: readonly unknown[]): void {
    const level = text(message[1], "a level");
    if (!levels.has(level)) throw new Unreadable("a line's level is none");
    this.#services.logger[level as Level](fieldsOf(message[3]), shortened(message[2], "a line", 1_024));
  }

  /**
   * Records an exception that no code of the plugin caught.
   * @returns why the process may not go on; undefined = it may
   */
  fault(message: readonly unknown[], nowMono: number): string | undefined {
    const faults = this.#faults;
    while (faults.length > 0 && (faults[0] as number) <= nowMono - faultWindowMs) faults.shift();
    if (faults.length >= maxFaults) return "its timers or callbacks keep throwing";
    faults.push(nowMono);
    this.#services.logger.error(
      { thrown: shortened(message[1], "what was thrown", 1_024) },
      "plugin threw outside of its hooks",
    );
    return undefined;
  }

  #change([kind, name, help, labels, buckets, aggregation, values, numbers]: MetricChange): void {
    const { metrics } = this.#services;
    const family = text(name, "a metric's name", 128);
    // The sidecar may use metric names of any kind; a plugin may use only names with its own prefix.
    const isOwn = /^[a-z][a-z0-9_]*$/.test(family) && family.startsWith(this.#prefix);
    if (!isOwn && !(kind === "counter" && this.#isShared(family, values)))
      throw new Unreadable(`a metric's name does not begin with ${this.#prefix}`);
    if (this.#families.size >= maxFamilies && !this.#families.has(family))
      throw new Unreadable(`it has more than ${maxFamilies} metrics`);
    this.#families.add(family);
    const about = shortened(help, "a metric's help", 256);
    const names = texts(labels, "a metric's labels", 8);
    const labelled = texts(values, "a metric's values", 8).map((value) => value.slice(0, 128));
    const found = finite(numbers);
    if (kind === "counter")
      metrics
        .counter(
          family,
          about,
          names,
        )(...labelled)
        .inc(found[0] ?? 0);
    else if (kind === "gauge")
      metrics
        .gauge(
          family,
          about,
          names,
          aggregationOf(aggregation),
        )(...labelled)
        .set(found[0] ?? 0);
    else if (kind === "histogram") {
      const bounds = buckets === null ? undefined : finite(buckets);
      const histogram = metrics.histogram(family, about, names, bounds)(...labelled);
      for (const seconds of found) histogram.observe(seconds);
    }
  }

  /** Whether it is a sidecar metric, and the change counts for this plugin only. */
  #isShared(family: string, [plugin, what]: readonly unknown[]): boolean {
    return plugin === this.#plugin && sharedMetrics.get(family)?.has(String(what)) === true;
  }

  #counts(what: "lines" | "changes"): boolean {
    const second = Math.floor(this.#services.clock.mono() / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#lines = 0;
      this.#changes = 0;
    }
    const taken = what === "lines" ? (this.#lines += 1) : (this.#changes += 1);
    if (taken <= perSecond[what]) return true;
    this.#dropped.inc();
    return false;
  }
}

export const droppedMetric = "outrigger_plugin_effects_dropped_total";

function finite(value: unknown): number[] {
  const found = list(value, "a metric's numbers");
  if (found.length > 1_000 || !found.every((each) => typeof each === "number" && Number.isFinite(each)))
    throw new Unreadable("a metric's numbers are none");
  return found as number[];
}

function aggregationOf(value: unknown): Aggregation {
  return value === "max" || value === "min" ? value : "sum";
}

/** Parses plain data for the log, under one name, so that it replaces no field of the sidecar. */
function fieldsOf(value: unknown): Record<string, unknown> {
  try {
    const fields: unknown = JSON.parse(text(value, "a line's fields", 16_384));
    return { fields };
  } catch {
    return {};
  }
}
