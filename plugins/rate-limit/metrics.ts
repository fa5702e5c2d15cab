// Declares the metrics of the rate-limit plugin: name, help, labels. No other file declares them.
import type { Counter, Gauge, Metrics } from "../../src/plugin-api/contract.ts";

export const checksTotal = (metrics: Metrics): ((limit: string, result: string) => Counter) =>
  metrics.counter("outrigger_rate_limit_total", "Requests checked against a limit, by what came of it", [
    "limit",
    "result",
  ]);

export const localChecks = (metrics: Metrics): ((limit: string) => Counter) =>
  metrics.counter(
    "outrigger_rate_limit_local_total",
    "Checks by this sidecar's share of a limit, because Redis could not count",
    ["limit"],
  );

export const leasedPermits = (metrics: Metrics): ((limit: string) => Gauge) =>
  metrics.gauge(
    "outrigger_rate_limit_leased_permits",
    "Permits that this sidecar has taken from Redis and not used yet",
    ["limit"],
  );

/** Merged as the maximum: every worker reports the bound of all workers. */
export const overshootBounds = (metrics: Metrics): ((limit: string) => Gauge) =>
  metrics.gauge(
    "outrigger_rate_limit_overshoot_bound",
    "Most requests that leases let through in any interval beyond what exact mode would",
    ["limit"],
    "max",
  );

export const overloadShed = (metrics: Metrics): ((priority: string, cause: string) => Counter) =>
  metrics.counter("outrigger_overload_shed_total", "Requests answered 503 to shed load", [
    "priority",
    "cause",
  ]);

export const overloadLimit = (metrics: Metrics): ((upstream: string) => Gauge) =>
  metrics.gauge("outrigger_overload_limit", "Requests in flight that the upstream can take", ["upstream"]);
