// The rate-limit plugin: limits, quotas and plans, bounds on requests in flight, and protection against overload.
import {
  definePlugin,
  type Clock,
  type Exchange,
  type RouteInfo,
  type Services,
  type SetupInput,
} from "../../src/plugin-api/contract.ts";
import { compilePaths, type PathSet } from "../../src/language/path-pattern.ts";
import { Admission, type AdmissionParts } from "./admission/admission.ts";
import { Concurrency } from "./admission/concurrency.ts";
import { createCounts } from "./counting/primary-counts.ts";
import { fleetOptions } from "./fleet-options.ts";
import { Leases } from "./counting/leases.ts";
import { CallerTables, type Result } from "./limit.ts";
import { Limiter, type LimiterParts } from "./limiter.ts";
import { lint } from "./lint.ts";
import { MemoryCounts } from "./counting/memory-counts.ts";
import { options, type Options } from "./options.ts";
import { OverloadGuard, type Priority } from "./admission/overload.ts";
import { createPartition, type PartitionContext } from "./partition.ts";
import { compilePlans } from "./plans.ts";
import { createPrimaryStore, type SharedStore } from "./counting/primary-store.ts";
import { RedisCounts } from "./counting/redis-counts.ts";
import { checksTotal } from "./metrics.ts";

type Overload = Options["overload"];

/** What outlives a policy: counts, leases, requests in flight, what was learnt of the upstreams. */
interface State {
  readonly tables: CallerTables;
  readonly memory: MemoryCounts;
  readonly shared: LimiterParts["shared"];
  readonly concurrency: Map<string, Concurrency>;
  readonly overload: OverloadGuard;
}

export const rateLimit = definePlugin({
  name: "rate-limit",
  version: "1.0.0",
  apiVersion: 1,
  priority: 15,
  // It says how much, not who. A fault of the
  // plugin is 503 (`closed`), trouble of the store is what `onStoreError` says.
  security: false,
  refuses: true,
  failMode: "closed",
  options,
  needs: { keys: ["rl:<service>:", "rl:@fleet:"], metrics: ["outrigger_overload_"] },
  fleetOptions,
  lint,
  init: createState,
  dispose: (state) => state.overload.loopDelay.stop(),
  sharedState: createCounts,
  setup,
});

function createState({ clock, store, workers, metrics, fleet }: Services): State {
  const counts = store ?? (workers === undefined ? undefined : createPrimaryStore(workers));
  return {
    tables: new CallerTables(fleet.service),
    memory: new MemoryCounts(clock),
    shared: counts === undefined ? undefined : sharedOf(counts, clock),
    concurrency: new Map(),
    overload: new OverloadGuard(clock, metrics),
  };
}

function sharedOf(store: SharedStore, clock: Clock): NonNullable<LimiterParts["shared"]> {
  const redis = new RedisCounts(store, clock);
  return { store, redis, leases: new Leases(redis, clock) };
}

function setup({ options, services, state, route }: SetupInput<Options, State>): Admission {
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
  if (options.overload.enabled) state.overload.loopDelay.start();
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
    overload: options.overload.enabled
      ? {
          guard: state.overload,
          priorityOf: priorityReader(options.overload, plans.partition.planOf, route),
        }
      : undefined,
    fields: options.headers,
  };
  // The queue, then at most a renewal and a question of its own; the rest is slack for a busy event loop.
  const onRequestMs = (concurrency?.queueTimeoutMs ?? 0) + 2 * options.storeTimeoutMs + 1000;
  return new Admission(parts, onRequestMs, async () => state.shared?.leases.sweep(true));
}

function compileConcurrency(
  { concurrency, dryRun }: Options,
  { clock, fleet, metrics }: Services,
  state: State,
  context: PartitionContext,
): AdmissionParts["concurrency"] {
  if (concurrency === null) return undefined;
  // Equal definitions share their permits, over routes and policies.
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

/** Whose requests are of a priority. */
interface PriorityClass {
  readonly priority: Priority;
  readonly paths: PathSet;
  readonly plans: ReadonlySet<string>;
}

function compilePriorities({ critical, high, low }: Overload, foldsCase: boolean): readonly PriorityClass[] {
  const all = [
    ["critical", critical],
    ["high", high],
    ["low", low],
  ] as const;
  return all.map(([priority, { paths, plans }]) => ({
    priority,
    paths: compilePaths(paths, foldsCase),
    plans: new Set(plans),
  }));
}

// Thousands of routes have the same options from the policy's top.
const withCase = new WeakMap<Overload, readonly PriorityClass[]>();
const withoutCase = new WeakMap<Overload, readonly PriorityClass[]>();

function priorityReader(
  overload: Overload,
  planOf: (exchange: Exchange) => string,
  { caseInsensitive }: RouteInfo,
): (exchange: Exchange) => Priority {
  const compiled = caseInsensitive ? withoutCase : withCase;
  const classes = compiled.get(overload) ?? compilePriorities(overload, caseInsensitive);
  compiled.set(overload, classes);
  return function priorityOf(exchange) {
    const plan = planOf(exchange);
    for (const { priority, paths, plans } of classes) {
      if (plans.has(plan) || paths.couldBe(exchange.request)) return priority;
    }
    return "normal";
  };
}
