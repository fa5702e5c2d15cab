// Keeps the plugin's state for the whole process, across changes of policy: tiers, flights, purges and counters.
import type { Clock, Counter, Logger, Services } from "../../src/plugin-api/contract.ts";
import type { CopyBudget } from "./store/body-copy.ts";
import type { Entry } from "./store/entry.ts";
import { Flights } from "./store/flights.ts";
import { HitForMiss } from "./store/hit-for-miss.ts";
import { MemoryTier } from "./store/memory.ts";
import type { Purge } from "./purge/purge.ts";
import { cachePrefix, PurgeLog, purgeLogKey } from "./purge/purge-log.ts";
import { Purges } from "./purge/purges.ts";
import { RedisTier } from "./store/redis-tier.ts";
import { badRecordsTotal, memoryBytes, memoryEntries, requestsTotal } from "./metrics.ts";

/** Results of the cache, as the label of `outrigger_cache_requests_total` names them. */
export interface ResultCounters {
  readonly hit: Counter;
  readonly miss: Counter;
  readonly stale: Counter;
  readonly revalidated: Counter;
  readonly collapsed: Counter;
  readonly bypass: Counter;
}

export interface CacheState {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly memory: MemoryTier;
  readonly redis: RedisTier | undefined;
  readonly purges: Purges;
  readonly flights: Flights;
  readonly uncacheable: HitForMiss;
  readonly copies: CopyBudget;
  readonly counters: ResultCounters;
  readonly region: string;
  /** Entries that a background request is refreshing now. */
  readonly refreshing: Set<Entry>;
  /** Entries for which the upstream just failed, with the monotonic ms until which it is not asked for them again. */
  readonly failedUntil: WeakMap<Entry, number>;
  /** Applies a purge here at once and publishes it to the fleet. */
  purge(purge: Purge): void;
  /** Reserves a memory tier of this size for a route; the largest one counts. @returns withdraws the reservation */
  reserve(bytes: number): () => void;
  /** Brings the gauges up to date. */
  measure(): void;
  /** Stops following the purge log and empties the memory tier. */
  dispose(): void;
}

export function createState(services: Services): CacheState {
  const { clock, logger, metrics, fleet } = services;
  const region = fleet.region ?? "";
  const memory = new MemoryTier(0);
  const now = (): number => clock.now();
  const bytes = memoryBytes(metrics)();
  const entries = memoryEntries(metrics)();
  const measure = (): void => {
    bytes.set(memory.bytes);
    entries.set(memory.entries);
  };
  const purges = new Purges(memory, now, measure);
  const copies: CopyBudget = { bytes: 0, maxBytes: 0 };
  const { redis, log } = sharedParts(services, region, purges);
  // Follows the purge log until `dispose`, across changes of policy.
  const stopFollowing = log?.follow();
  return {
    clock,
    logger,
    memory,
    redis,
    purges,
    flights: new Flights(),
    uncacheable: new HitForMiss(),
    copies,
    counters: resultCounters(services),
    region,
    refreshing: new Set(),
    failedUntil: new WeakMap(),
    purge(purge) {
      purges.apply(purge, now());
      log?.publish(purge);
    },
    reserve: reservations((most) => {
      memory.resize(most);
      measure();
      copies.maxBytes = most;
    }),
    measure,
    dispose() {
      stopFollowing?.();
      memory.resize(0);
    },
  };
}

/** The parts that need Redis; none without it. */
function sharedParts(
  { store, seals, clock, logger, metrics, fleet: { service } }: Services,
  region: string,
  purges: Purges,
): { redis?: RedisTier; log?: PurgeLog } {
  const badRecords = badRecordsTotal(metrics)();
  if (store === undefined) return {};
  const now = (): number => clock.now();
  const redis = new RedisTier({
    store,
    prefix: cachePrefix(service, region),
    badRecords,
    seal: seals?.of("cache"),
    now,
  });
  const key = purgeLogKey(service, region);
  const log = new PurgeLog({ store, key, seal: seals?.of("purges"), purges, logger, now });
  return { redis, log };
}

function resultCounters({ metrics }: Services): ResultCounters {
  const of = requestsTotal(metrics);
  return {
    hit: of("hit"),
    miss: of("miss"),
    stale: of("stale"),
    revalidated: of("revalidated"),
    collapsed: of("collapsed"),
    bypass: of("bypass"),
  };
}

function reservations(changed: (most: number) => void): (bytes: number) => () => void {
  const asked = new Set<{ bytes: number }>();
  const settle = (): void => {
    // With no route left the tier keeps its size: the next policy will most likely use its entries.
    if (asked.size > 0) changed(Math.max(...[...asked].map(({ bytes }) => bytes)));
  };
  return (bytes) => {
    const one = { bytes };
    asked.add(one);
    settle();
    return () => {
      asked.delete(one);
      settle();
    };
  };
}
