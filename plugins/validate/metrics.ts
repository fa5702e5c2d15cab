// Declares the metrics of the validate plugin: name, help, labels. No other file declares them.
import type { Counter, Metrics } from "../../src/plugin-api/contract.ts";

export const requestsTotal = (metrics: Metrics): ((route: string, result: "valid" | "invalid") => Counter) =>
  metrics.counter("outrigger_validate_total", "Requests by whether they fit what is declared", [
    "route",
    "result",
  ]);

export type ResponseResult = "valid" | "invalid" | "unchecked";

export const responsesTotal = (metrics: Metrics): ((route: string, result: ResponseResult) => Counter) =>
  metrics.counter(
    "outrigger_validate_responses_total",
    "JSON responses by whether they fit what is declared",
    ["route", "result"],
  );
