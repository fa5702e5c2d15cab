// Declares the metrics of the ip-filter plugin: name, help, labels.
import type { Counter, Gauge, Metrics } from "../../src/plugin-api/contract.ts";

export type Result = "allowed" | "refused" | "would_refuse" | "unavailable";

export const filteredTotal = (metrics: Metrics): ((route: string, result: Result) => Counter) =>
  metrics.counter("outrigger_ip_filter_total", "Requests by what their client's address came to", [
    "route",
    "result",
  ]);

export const listEntries = (metrics: Metrics): ((list: string) => Gauge) =>
  metrics.gauge(
    "outrigger_ip_filter_list_entries",
    "Networks in a named list; 0 where it is not known",
    ["list"],
    "max",
  );
