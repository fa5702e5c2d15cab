// Declares the metrics of the csrf plugin: name, help, labels.
import type { Counter, Metrics } from "../../src/plugin-api/contract.ts";

export type Result = "refused" | "would_refuse";

export const foreignTotal = (metrics: Metrics): ((route: string, result: Result) => Counter) =>
  metrics.counter("outrigger_csrf_total", "Requests of other sites' pages that would change something", [
    "route",
    "result",
  ]);
