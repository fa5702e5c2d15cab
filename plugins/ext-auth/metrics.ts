// Declares the metrics of the ext-auth plugin: name, help, labels.
import type { Counter, Metrics } from "../../src/plugin-api/contract.ts";

export type Result = "allowed" | "refused" | "unavailable";

export const decisions = (metrics: Metrics): ((route: string, result: Result) => Counter) =>
  metrics.counter("outrigger_ext_auth_total", "Requests by what the endpoint, or its kept answer, said", [
    "route",
    "result",
  ]);
