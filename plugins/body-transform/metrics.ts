// Declares the metrics of the body-transform plugin: name, help, labels. No other file declares them.
import type { Counter, Metrics } from "../../src/plugin-api/contract.ts";

type Direction = "request" | "response";
type Result = "changed" | "unchanged" | "refused" | "passed";

export type Counters = Readonly<Record<Result, Counter>>;

export function countersOf(metrics: Metrics, route: string, direction: Direction): Counters {
  const counter = metrics.counter("outrigger_body_transform_total", "JSON bodies by what became of them", [
    "route",
    "direction",
    "result",
  ]);
  const of = (result: Result): Counter => counter(route, direction, result);
  return {
    changed: of("changed"),
    unchanged: of("unchanged"),
    refused: of("refused"),
    passed: of("passed"),
  };
}
