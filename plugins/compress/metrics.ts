// Declares the metrics of the compress plugin: name, help, labels. No other file declares them.
import type { Counter, Metrics } from "../../src/plugin-api/contract.ts";

export type Result = "zstd" | "br" | "gzip" | "busy" | "credentials";
export type Side = "plain" | "encoded";

export const responsesTotal = (metrics: Metrics): ((route: string, result: Result) => Counter) =>
  metrics.counter("outrigger_compress_total", "Responses that clients asked to have compressed", [
    "route",
    "result",
  ]);

export const bytesTotal = (metrics: Metrics): ((route: string, side: Side) => Counter) =>
  metrics.counter("outrigger_compress_bytes_total", "Bytes of bodies before and after compression", [
    "route",
    "side",
  ]);
