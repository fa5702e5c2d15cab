// Declares the injector's metrics.
import type { Metrics } from "../plugin-api/telemetry.ts";
import type { Verdict } from "./review.ts";

export interface InjectorMetrics {
  admitted(verdict: Verdict, seconds: number): void;
  /** Counts a call that was not answered as an admission. @param status of the answer */
  failed(status: string): void;
}

export function createInjectorMetrics(metrics: Metrics): InjectorMetrics {
  const pods = metrics.counter(
    "outrigger_injector_pods_total",
    "Pods by what became of them: injected, unchanged, opted_out, exempt, refused, admitted_without; and why",
    ["namespace", "result", "reason"],
  );
  const duration = metrics.histogram(
    "outrigger_injector_duration_seconds",
    "Time from a call's head to its answer",
    [],
    [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5],
  )();
  const failures = metrics.counter(
    "outrigger_injector_failed_calls_total",
    "Calls that were answered by an HTTP error, to which the webhook's failurePolicy applies",
    ["status"],
  );
  return {
    admitted({ namespace, result, reason }, seconds) {
      pods(namespace, result, reason).inc();
      duration.observe(seconds);
    },
    failed: (status) => failures(status).inc(),
  };
}
