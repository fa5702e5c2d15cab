// Compiles one limit of the policy: whom it counts, its rule, its table of callers, its texts and its counters.
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
  /** Whether it may refuse requests; false in a dry run. */
  readonly enforced: boolean;
  readonly leased: boolean;
  /** How long a permit may be held locally. */
  readonly leaseMs: number;
  /** Permits in a window. */
  readonly quota: number;
  /** The script's argument for a plain reservation of this limit. */
  readonly exactText: string;
  /** The start of the RateLimit field's item, `"name";r=`. `policyItem` is the whole item of RateLimit-Policy. */
  readonly fieldPrefix: string;
  readonly policyItem: string;
  readonly counters: Readonly<Record<Result, Counter>>;
  /** Checks made against this sidecar's share because the shared count was out of reach. */
  readonly byShare: Counter;
  /** Permits that this sidecar holds in leases. */
  readonly held: Gauge;
}

/** What one request asks of one limit, and the outcome. */
export class Reservation {
  readonly limit: Limit;
  readonly caller: Caller;
  readonly enforced: boolean;
  /** Fewest and most permits to take. */
  readonly least: number;
  readonly most: number;
  /** Permits used while Redis was out of reach; this reservation reports them. */
  unreportedUsage = 0;
  /** Permits known to be used before the outage. */
  seed = 0;
  /** Permits that Redis reported as used and may have forgotten since. */
  floor = 0;
  unreportedRule: Rule | undefined = undefined;
  granted = 0;
  /** The lease that the permits came from, if any. */
  lease: Lease | undefined = undefined;
  /** Permits left for the caller. */
  remaining = 0;
  /** Milliseconds until this reservation would fit; 0 if it fits now. `resetMs`: until one more permit is free. */
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

/** Turns the options into the numbers that the algorithms take. */
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

/** For a limit over regions this is the region's share, the only part that it may always count on. */
function capacityOf({ limit, burst, regions }: LimitOptions): number {
  if (limit === 0) return 0;
  return regions === undefined ? (burst ?? limit) : shareOfRegion(regions, limit);
}

/** The part of a limit that one sidecar enforces while the shared state is out of reach. */
export function shareOf(rule: Rule, sidecars: number, cost: number): Rule {
  if (sidecars <= 1 || rule.capacity === 0) return rule;
  return {
    ...rule,
    capacity: Math.max(cost, Math.floor(rule.capacity / sidecars)),
    perMs: rule.perMs / sidecars,
  };
}

/** Keeps the process's tables by the limits' definitions, because counts outlive the policy that made them. */
export class CallerTables {
  readonly #service: string;
  readonly #region: string | undefined;
  readonly #tables = new Map<string, CallerTable>();
  readonly #latest = new Map<string, { table: CallerTable; meaning: string }>();

  /**
   * @param service owner of these counts in Redis, except for limits of the whole fleet
   * @param region of that Redis, "" when it has no name; undefined = counts are not in Redis
   */
  constructor(service: string, region?: string) {
    this.#service = service;
    this.#region = region;
  }

  /**
   * The table of a limit. When only the numbers at a place change, the new table continues the old counts as long as
   * they mean the same: same callers, same algorithm, and for windows the same length.
   * @param place route and name
   * @throws Error for a limit over regions that do not include this one
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
    // A table that no place names has missed counts (as before a rollback), so it is not reused.
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

  /** Policies come and go: once there are many tables, those that no place names are dropped. */
  #forget(): void {
    while (this.#latest.size > maxPlaces) this.#latest.delete(this.#latest.keys().next().value as string);
    if (this.#tables.size <= maxTables) return;
    const named = new Set([...this.#latest.values()].map(({ table }) => table));
    for (const [id, table] of this.#tables) if (!named.has(table)) this.#tables.delete(id);
  }
}

/** Stands in a key where the service's name would. No service can have this name. */
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

/** In mode `auto`, limits above this rate lease their permits. */
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
