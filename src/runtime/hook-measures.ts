// What is counted of one plugin's hooks, whatever its routes: labels are resolved once, not once for each of thousands.
import type { Counter, Histogram, Metrics } from "../plugin-api/services.ts";
import { FineHistogram } from "./distribution.ts";

export type Phase = "onRequest" | "onResponse" | "onError" | "onComplete" | "recheck";

export interface HookMeasures {
  readonly seconds: Readonly<Record<Phase, Histogram>>;
  readonly errors: Readonly<Record<Phase, Counter>>;
}

/** @param fine whether its times are kept finer than the metric has them */
export function measureHooks(plugin: string, metrics: Metrics, fine: boolean): HookMeasures {
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
  const perPhase = <T>(family: (...values: string[]) => T): Record<Phase, T> => ({
    onRequest: family(plugin, "onRequest"),
    onResponse: family(plugin, "onResponse"),
    onError: family(plugin, "onError"),
    onComplete: family(plugin, "onComplete"),
    recheck: family(plugin, "recheck"),
  });
  const timed = fine ? (...values: string[]) => new FineHistogram(seconds(...values)) : seconds;
  return { seconds: perPhase(timed), errors: perPhase(errors) };
}
