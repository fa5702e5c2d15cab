// Creates the state that outlives a policy: counts, leases, requests in flight, knowledge about the upstreams.
import type { Clock, Services } from "../../src/plugin-api/contract.ts";
import type { Concurrency } from "./admission/concurrency.ts";
import { OverloadGuard } from "./admission/overload.ts";
import { Leases } from "./counting/leases.ts";
import { MemoryCounts } from "./counting/memory-counts.ts";
import { createPrimaryStore, type SharedStore } from "./counting/primary-store.ts";
import { RegionWants } from "./counting/region-wants.ts";
import { RedisCounts } from "./counting/redis-counts.ts";
import { CallerTables } from "./limit.ts";
import type { LimiterParts } from "./limiter.ts";

export interface RateLimitState {
  readonly tables: CallerTables;
  readonly memory: MemoryCounts;
  readonly shared: LimiterParts["shared"];
  readonly concurrency: Map<string, Concurrency>;
  readonly overload: OverloadGuard;
}

export function createState({ clock, store, workers, metrics, fleet }: Services): RateLimitState {
  const counts = store ?? (workers === undefined ? undefined : createPrimaryStore(workers));
  return {
    tables: new CallerTables(fleet.service, store === undefined ? undefined : (fleet.region ?? "")),
    memory: new MemoryCounts(clock),
    shared:
      counts === undefined ? undefined : sharedOf(counts, clock, store && new RegionWants(store, clock)),
    concurrency: new Map(),
    overload: new OverloadGuard(clock, metrics),
  };
}

function sharedOf(
  store: SharedStore,
  clock: Clock,
  wants: RegionWants | undefined,
): NonNullable<LimiterParts["shared"]> {
  const redis = new RedisCounts(store, clock, wants);
  return { store, redis, leases: new Leases(redis, clock) };
}
