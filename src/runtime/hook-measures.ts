// What is counted of one plugin's hooks, whatever its routes: labels are resolved once, not once for each of thousands.
import type { Counter, Histogram, Metrics } from "../plugin-api/services.ts";
import { countOf, FineHistogram } from "./distribution.ts";

export type Phase = "onRequest" | "onResponse" | "onError" | "onComplete" | "recheck";

/** `bad_verdict` = it came to what no hook may; `unavailable` = what runs the plugin was not there. */
const errorTypes = ["threw", "timeout", "bad_verdict", "unavailable"] as const;
export type HookErrorType = (typeof errorTypes)[number];

/** Of one plugin and phase. */
export class HookErrors {
  readonly #byType: ReadonlyMap<HookErrorType, Counter>;

  constructor(of: (type: HookErrorType) => Counter) {
    this.#byType = new Map(errorTypes.map((type) => [type, of(type)]));
  }

  /** All of them. */
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
 * @param fine whether its times are kept finer than the metric has them
 * @param budget is told of each, too
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
    // From a look at a field to a wait for Redis: close enough for a quantile to be within a factor of two or three.
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
