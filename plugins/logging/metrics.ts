// The metrics of the logging plugin, each declared here alone: name, help, labels.
import type { Counter, Metrics } from "../../src/plugin-api/contract.ts";

export const streamDropped = (metrics: Metrics): ((reason: string) => Counter) =>
  metrics.counter(
    "outrigger_log_stream_dropped_total",
    "Access-log lines that did not reach the Redis stream",
    ["reason"],
  );
