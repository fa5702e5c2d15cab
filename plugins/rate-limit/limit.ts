// One limit of the policy, compiled: who it counts, its numbers, its table of callers, its texts and its counters.
import type { Counter, Exchange, Gauge, Metrics } from "../../src/plugin-api/contract.ts";
import type { Rule } from "./counting/algorithms.ts";
import { CallerTable, type Caller, type Lease } from "./caller.ts";
import { compileConditions } from "./conditions.ts";
import type { LimitOptions } from "./options.ts";
import { regionPart, shareOfRegion } from "./regions.ts";
import { createPartition, digest, type Partition, type PartitionContext } from "./partition.ts";
import { parseWindow } from "../../src/language/duration.ts";
import { checksTotal, leasedPermits, localChecks } from "./metrics.ts";

export type Result = "allowed" | "refused" | "would_refuse" | "unchecked" | "unavailable";

export interface Limit {
  readonly name: string;
  readonly table: CallerTable;
  readonly partition: Partition;
  /** undefined = every request */
  readonly applies: ((exchange: Exchange) => boolean) | undefined;
  readonly cost: number;
  /** Whether it may refuse; false in a dry run. */
  readonly enforced: boolean;
  readonly leased: boolean;
  /** How long a permit may be held locally. */
  readonly leaseMs: number;
  /** Permits in a window. */
  readonly quota: number;
  /** Argument of the script for a plain reservation of this limit. */
  readonly exactText: string;
  /** `"name";r=` of the RateLimit field and the whole item of RateLimit-Policy. */
  readonly fieldPrefix: string;
  readonly policyItem: string;
  readonly counters: Readonly<Record<Result, Counter>>;
  /** Checks by this sidecar's share, because the shared count was out of reach. */
  readonly byShare: Counter;
  /** Permits that this sidecar holds in leases. */
  readonly held: Gauge;
}

/** What one request asks of one limit, and what came of it. */
export class Reservation {
  readonly limit: Limit;
  readonly caller: Caller;
  readonly enforced: boolean;
  /** Fewest and most permits to take. */
  readonly least: number;
  readonly most: number;
  /** Permits used while Redis was out of reach, told with this reservation. */
  unreportedUsage = 0;
  /** What was known to be used before that. */
  seed = 0;
  /** Permits that Redis said were used and may have forgotten. */
  floor = 0;
  unreportedRule: Rule | undefined = undefined;
  granted = 0;
  /** Where the permits came from, when from a lease. */
  lease: Lease | undefined = undefined;
  /** Permits left for the caller. */
  remaining = 0;
  /** Milliseconds until this reservation would fit, 0 if it does, and until one more permit is free. */
  retryMs = 0;
  resetMs = 0;

  constructor(limit: Limit, caller: Caller, least: number, most: number, enforced: boolean) {
    this.limit = limit;
    this.caller = caller;
    this.least = least;
    this.most = most;
    this.enforced = enforced;
  }

  /** Whether the caller is over this limit. */
  get exceeded(): boolean {
    return this.granted === 0 && this.remaining < this.least;
  }
}

/** The algorithms' numbers. */
function compileRule(options: LimitOptions): Rule {
  const window = parseWindow(options.window);
  return {
    algorithm: options.algorithm,
    capacity: capacityOf(options),
    perMs: options.limit / window.ms,
    // Only quotas follow the calendar; the smooth ones need windows of one length.
    window: options.algorithm === "fixed" ? window : { ms: window.ms, monthly: false },
  };
}

/** Of a limit over regions: this region's share, which is all that it may count on. */
function capacityOf({ limit, burst, regions }: LimitOptions): number {
  if (limit === 0) return 0;
  return regions === undefined ? (burst ?? limit) : shareOfRegion(regions, limit);
}

/** One sidecar's part of a limit while the shared state is out of reach. */
export function shareOf(rule: Rule, sidecars: number, cost: number): Rule {
  if (sidecars <= 1 || rule.capacity === 0) return rule;
  return {
    ...rule,
    capacity: Math.max(cost, Math.floor(rule.capacity / sidecars)),
    perMs: rule.perMs / sidecars,
  };
}

/** Tables of the process by the limits' definitions: counts outlive the policy that made them. */
export class CallerTables {
  readonly #service: string;
  readonly #region: string | undefined;
  readonly #tables = new Map<string, CallerTable>();
  readonly #latest = new Map<string, { table: CallerTable; meaning: string }>();

  /**
   * @param service whose counts these are in Redis, but for limits of the whole fleet
   * @param region of that Redis, "" when it has no name; undefined = counts are not in Redis
   */
  constructor(service: string, region?: string) {
    this.#service = service;
    this.#region = region;
  }

  /**
   * The table of a limit. One whose numbers changed at the same place goes on from the counts it had, where they
   * still mean the same: same callers, same way of counting, and for windows the same length.
   * @param place route and name
   * @throws Error for a limit over regions, none of which this one is
   */
  open(place: string, options: LimitOptions): CallerTable {
    const rule = compileRule(options);
    const window = options.algorithm === "gcra" ? "" : options.window;
    const { by, fallback, algorithm, sharedBy, regions } = options;
    const meaning = JSON.stringify([by, fallback, algorithm, window, sharedBy]);
    const numbers = [meaning, options.window, options.limit, options.burst, ...(regions ? [regions] : [])];
    const id = `${options.name}:${digest(JSON.stringify(numbers)).slice(0, 8)}`;
    const part = regions && regionPart({ ...options, regions }, this.#region);
    const latest = this.#latest.get(place);
    let table = this.#tables.get(id);
    // One that no place names any more missed what was counted since, as when a policy is rolled back.
    if (table === undefined || !this.#isNamed(table)) {
      const former = latest?.meaning === meaning ? latest.table : undefined;
      const sharers = sharedBy === "fleet" ? fleetWide : this.#service;
      table = new CallerTable(id, sharers, rule, former, part);
      this.#tables.set(id, table);
    }
    this.#latest.set(place, { table, meaning });
    this.#forget();
    return table;
  }

  #isNamed(table: CallerTable): boolean {
    return this.#latest.values().some((latest) => latest.table === table);
  }

  /** Policies come and go: what no place names any more goes once there are many. */
  #forget(): void {
    while (this.#latest.size > maxPlaces) this.#latest.delete(this.#latest.keys().next().value as string);
    if (this.#tables.size <= maxTables) return;
    const named = new Set([...this.#latest.values()].map(({ table }) => table));
    for (const [id, table] of this.#tables) if (!named.has(table)) this.#tables.delete(id);
  }
}

/** In a key's place for the service: no service has this name. */
const fleetWide = "@fleet";
const maxPlaces = 4096;
const maxTables = 256;

export interface LimitContext extends PartitionContext {
  readonly tables: CallerTables;
  readonly place: string;
  readonly foldsCase: boolean;
  readonly leaseMs: number;
  readonly dryRun: boolean;
  readonly metrics: Metrics;
}

/** From this rate on, permits are leased unless the policy says otherwise. */
const leasedAbovePerSecond = 50;

export function compileLimit(options: LimitOptions, context: LimitContext): Limit {
  const table = context.tables.open(`${context.place} ${options.name}`, options);
  const { capacity, window } = table.rule;
  const counter = checksTotal(context.metrics);
  const byShare = localChecks(context.metrics);
  const held = leasedPermits(context.metrics);
  const count = (result: Result): Counter => counter(options.name, result);
  const perSecond = options.limit / (window.ms / 1000);
  const windowSeconds = window.ms / 1000;
  const enforced = !options.dryRun && !context.dryRun;
  const burst =
    options.algorithm === "gcra" && capacity !== options.limit ? `;outrigger-burst=${capacity}` : "";
  return {
    name: options.name,
    table,
    partition: createPartition(options.by, options.fallback, context),
    applies: compileConditions(options.when, context.planOf, context.foldsCase),
    cost: options.cost,
    enforced,
    leased: options.mode === "leased" || (options.mode === "auto" && perSecond > leasedAbovePerSecond),
    leaseMs: context.leaseMs,
    quota: options.limit,
    exactText: `${table.spec} ${enforced ? 1 : 0} ${options.cost} ${options.cost} 0 0 0${table.regionSpec}`,
    fieldPrefix: `"${options.name}";r=`,
    policyItem: `"${options.name}";q=${options.limit};w=${windowSeconds}${burst}`,
    counters: {
      allowed: count("allowed"),
      refused: count("refused"),
      would_refuse: count("would_refuse"),
      unchecked: count("unchecked"),
      unavailable: count("unavailable"),
    },
    byShare: byShare(options.name),
    held: held(options.name),
  };
}
