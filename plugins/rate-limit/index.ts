// The rate-limit plugin: limits, quotas and plans, bounds on requests in flight, and protection against overload.
import { definePlugin, type Hooks, type Services } from "../../src/plugin-api/contract.ts";
import { Admission, type AdmissionParts } from "./admission/admission.ts";
import { Concurrency } from "./admission/concurrency.ts";
import { priorityReader } from "./admission/priorities.ts";
import { createCounts } from "./counting/primary-counts.ts";
import { fleetOptions } from "./fleet-options.ts";
import type { Result } from "./limit.ts";
import { Limiter } from "./limiter.ts";
import { checksTotal } from "./metrics.ts";
import { rateLimitOptions, type RateLimitOptions } from "./options.ts";
import { createPartition, type PartitionContext } from "./partition.ts";
import { compilePlans } from "./plans.ts";
import { createState, type RateLimitState } from "./state.ts";

export const rateLimit = definePlugin({
  name: "rate-limit",
  version: "1.0.0",
  apiVersion: 1,
  priority: 15,
  // It decides how much, not who. If the plugin fails: 503 (`closed`). If the store fails: see `onStoreError`.
  security: false,
  refuses: true,
  failMode: "closed",
  options: rateLimitOptions,
  needs: { keys: ["rl:<service>:", "rl:@fleet:"], metrics: ["outrigger_overload_"] },
  fleetOptions,
  lint: async () => (await import("./lint.ts")).lint,
  init: createState,
  dispose: (state) => state.overload.loopDelay.stop(),
  sharedState: createCounts,

  setup({ options, services, state, route }): Hooks {
    const { clock, fleet, metrics } = services;
    const { concurrency } = options;
    const concurrencyItem =
      concurrency === null ? [] : [`"${concurrency.name}";q=${concurrency.limit};qu="concurrent-requests"`];
    const plans = compilePlans(
      options,
      {
        route: route.pattern,
        foldsCase: route.caseInsensitive,
        service: fleet.service,
        sidecars: fleet.size(),
        tables: state.tables,
        metrics,
      },
      concurrencyItem,
    );
    // The load of this process says nothing about a test run, whose requests are not made now.
    const shedsLoad = options.overload.enabled && services.testRun === undefined;
    if (shedsLoad) state.overload.loopDelay.start();
    const limiter = new Limiter({
      clock,
      memory: state.memory,
      shared: state.shared,
      sidecars: () => fleet.size(),
      onStoreError: options.onStoreError,
      storeTimeoutMs: options.storeTimeoutMs,
    });
    const parts: AdmissionParts = {
      limiter,
      limitsOf: (exchange) => plans.limitsOf(exchange),
      concurrency: compileConcurrency(options, services, state, plans.partition),
      overload: shedsLoad
        ? {
            guard: state.overload,
            priorityOf: priorityReader(options.overload, plans.partition.planOf, route),
          }
        : undefined,
      fields: options.headers,
    };
    // The queue, at most one lease renewal and one question to Redis; the rest is slack for a busy event loop.
    const onRequestMs = (concurrency?.queueTimeoutMs ?? 0) + 2 * options.storeTimeoutMs + 1000;
    return new Admission(parts, onRequestMs, async () => state.shared?.leases.sweep(true));
  },
});

function compileConcurrency(
  { concurrency, dryRun }: RateLimitOptions,
  { clock, fleet, metrics }: Services,
  state: RateLimitState,
  context: PartitionContext,
): AdmissionParts["concurrency"] {
  if (concurrency === null) return undefined;
  // Equal definitions share their permits across routes and policies.
  const definition = JSON.stringify(concurrency);
  const permits = state.concurrency.get(definition) ?? new Concurrency(concurrency, clock, fleet.workers);
  state.concurrency.set(definition, permits);
  for (const [other, { idle }] of state.concurrency) {
    if (state.concurrency.size > 256 && idle) state.concurrency.delete(other);
  }
  const counter = checksTotal(metrics);
  const { name } = concurrency;
  return {
    name,
    permits,
    partition: createPartition(concurrency.by, "ip", context),
    dryRun,
    count: (result: Result) => counter(name, result).inc(),
  };
}
