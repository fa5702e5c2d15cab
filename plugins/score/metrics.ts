// Declares the metrics of the score plugin: name, help, labels. No other file declares them.
import type { Counter, Gauge, Histogram, Metrics } from "../../src/plugin-api/contract.ts";

/** `unscored`: no model yet, or it gave no number. With `shadow`, the acts count what would have been done. */
export type Result = "scored" | "unscored" | "tag" | "limit" | "reject";

export const scoredTotal = (metrics: Metrics): ((route: string, result: Result, shadow: string) => Counter) =>
  metrics.counter("outrigger_score_requests_total", "Requests that were scored, and what was done about it", [
    "route",
    "result",
    "shadow",
  ]);

export const scores = (metrics: Metrics): ((model: string) => Histogram) =>
  metrics.histogram(
    "outrigger_score_values",
    "Scores that a model gave",
    ["model"],
    [0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99],
  );

export const drift = (metrics: Metrics): ((model: string, feature: string) => Gauge) =>
  metrics.gauge(
    "outrigger_score_drift",
    "How far a feature's mean over the last thousand requests is from that in training, in its deviations there",
    ["model", "feature"],
    "max",
  );
