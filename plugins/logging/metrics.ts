// Declares the metrics of the logging plugin: name, help, labels. No other file declares them.
import type { Counter, Metrics } from "../../src/plugin-api/contract.ts";

export const streamDropped = (metrics: Metrics): ((reason: string) => Counter) =>
  metrics.counter(
    "outrigger_log_stream_dropped_total",
    "Access-log lines that did not reach the Redis stream",
    ["reason"],
  );
