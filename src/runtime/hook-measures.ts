// Creates the metrics of one plugin's hooks, for all its routes together. Labels are resolved once, not once for each
// of thousands of routes.
import type { Counter, Histogram, Metrics } from "../plugin-api/services.ts";
import { countOf, FineHistogram } from "./distribution.ts";

export type Phase = "onRequest" | "onResponse" | "onError" | "onComplete" | "recheck";

/**
 * `bad_verdict` = the hook returned something it may not; `unavailable` = the process or guest of the plugin was down.
 */
const errorTypes = ["threw", "timeout", "bad_verdict", "unavailable"] as const;
export type HookErrorType = (typeof errorTypes)[number];

/** Error counters of one plugin and one phase, by type. */
export class HookErrors {
  readonly #byType: ReadonlyMap<HookErrorType, Counter>;

  constructor(of: (type: HookErrorType) => Counter) {
    this.#byType = new Map(errorTypes.map((type) => [type, of(type)]));
  }

  /** Sum over all types. */
  get value(): number {
    return this.#byType.values().reduce((sum, counter) => sum + countOf(counter), 0);
  }

  count(type: HookErrorType): void {
    this.#byType.get(type)?.inc();
  }
}

export interface HookMeasures {
  readonly seconds: Readonly<Record<Phase, Histogram>>;
  readonly errors: Readonly<Record<Phase, HookErrors>>;
  readonly leftOut: Counter;
}

/**
 * @param fine whether to keep times in finer buckets than the metric has
 * @param budget is called with each time too; used only if `fine`
 */
export function measureHooks(
  plugin: string,
  metrics: Metrics,
  fine: boolean,
  budget?: { took(phase: Phase, seconds: number): void },
): HookMeasures {
  const seconds = metrics.histogram(
    "outrigger_plugin_duration_seconds",
    "Time spent in a plugin's hook",
    ["plugin", "phase"],
    // From a look at a field to a wait for Redis: buckets close enough that a quantile is right within a factor of two
    // or three.
    [0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.001, 0.002_5, 0.01, 0.025, 0.1, 0.25, 1],
  );
  const errors = metrics.counter(
    "outrigger_plugin_errors_total",
    "Hooks that threw, rejected or passed their time limit",
    ["plugin", "phase", "type"],
  );
  const leftOut = metrics.counter(
    "outrigger_plugin_left_out_total",
    "Hooks that were not called because the plugin fails open and keeps hanging",
    ["plugin"],
  )(plugin);
  const timed = (phase: Phase): Histogram => {
    const metric = seconds(plugin, phase);
    return fine ? new FineHistogram(metric, budget && ((took) => budget.took(phase, took))) : metric;
  };
  return {
    seconds: perPhase(timed),
    errors: perPhase((phase) => new HookErrors((type) => errors(plugin, phase, type))),
    leftOut,
  };
}

const perPhase = <T>(make: (phase: Phase) => T): Record<Phase, T> => ({
  onRequest: make("onRequest"),
  onResponse: make("onResponse"),
  onError: make("onError"),
  onComplete: make("onComplete"),
  recheck: make("recheck"),
});
