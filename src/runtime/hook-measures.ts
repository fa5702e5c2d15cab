// What is counted of one plugin's hooks, whatever its routes: labels are resolved once, not once for each of thousands.
import type { Counter, Histogram, Metrics } from "../plugin-api/services.ts";
import { FineHistogram } from "./distribution.ts";

export type Phase = "onRequest" | "onResponse" | "onError" | "onComplete" | "recheck";

export interface HookMeasures {
  readonly seconds: Readonly<Record<Phase, Histogram>>;
  readonly errors: Readonly<Record<Phase, Counter>>;
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
    [0.000_01, 0.000_1, 0.001, 0.01, 0.1, 1],
  );
  const errors = metrics.counter(
    "outrigger_plugin_errors_total",
    "Hooks that threw, rejected or passed their time limit",
    ["plugin", "phase"],
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
  return { seconds: perPhase(timed), errors: perPhase((phase) => errors(plugin, phase)), leftOut };
}

const perPhase = <T>(make: (phase: Phase) => T): Record<Phase, T> => ({
  onRequest: make("onRequest"),
  onResponse: make("onResponse"),
  onError: make("onError"),
  onComplete: make("onComplete"),
  recheck: make("recheck"),
});
