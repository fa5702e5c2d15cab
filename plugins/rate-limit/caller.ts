// Keeps what this sidecar knows of each limit's callers: one bounded table per limit, one record per caller.
import { boundedCache, type Exchange } from "../../src/plugin-api/contract.ts";
import { emptyUsage, merge, type Rule } from "./counting/algorithms.ts";
import { digest, type Partition } from "./partition.ts";
import type { RegionPart } from "./regions.ts";
import { leaseKey, lentKey } from "../../src/language/region-quota.ts";

/** Bounds memory whatever the number of addresses: the least recently seen caller is evicted. About 300 bytes each. */
const callersPerLimit = 50_000;

/** Permits taken from Redis ahead of need. */
export interface Lease {
  left: number;
  readonly size: number;
  /** Monotonic milliseconds, from before Redis granted it: the lease ends early rather than late. */
  readonly from: number;
  readonly until: number;
  usedAt: number;
  /** The server's time of the grant. */
  readonly grantedAt: number;
}

/** One caller under one limit. */
export class Caller {
  readonly table: CallerTable;
  /** Without Redis: all usage. With it: usage while Redis was out of reach. */
  readonly usage = emptyUsage();
  /** The part of `usage` that Redis knew of before the outage. */
  readonly seed = emptyUsage();
  /** When Redis said what is in `remaining`, monotonic milliseconds; undefined = never. */
  heardAt: number | undefined = undefined;
  /** Monotonic milliseconds until which Redis is known to refuse; not asked before. */
  deniedUntil = 0;
  /** How many permits the refused request asked for: a request for fewer may still pass. */
  deniedLeast = 0;
  /** When the refused permits become free, monotonic milliseconds. */
  dueAt = 0;
  /** The rule by which `usage` was counted while Redis was out of reach. Set = Redis has not been told yet. */
  unreported: Rule | undefined = undefined;
  lease: Lease | undefined = undefined;
  /** The next lease, taken ahead of need. */
  spare: Lease | undefined = undefined;
  /** The renewal in progress. */
  pending: Promise<void> | undefined = undefined;
  /** Permits that waiting requests need. */
  awaited = 0;
  /** Permits left in Redis at its last answer. */
  remaining = 0;
  /** When a lease from another region was last asked for, monotonic ms. */
  wantedAt = -Infinity;
  /** The key under the limit's former numbers; undefined once Redis has been asked about it. */
  formerKey: string | undefined;
  readonly tag: string;
  readonly #value: string;
  #key: string | undefined = undefined;

  constructor(table: CallerTable, tag: string, value: string) {
    this.table = table;
    this.tag = tag;
    this.#value = value;
    this.formerKey = table.former === undefined ? undefined : this.#keyUnder(table.former.id);
  }

  /** `rl:<service>:{hash of the caller}:limit`. Computed at the first use: embedded mode never hashes. */
  get key(): string {
    this.#key ??= this.#keyUnder(this.table.id);
    return this.#key;
  }

  /** The second key of a limit over regions. It says how much this region may count on besides its share. */
  get regionKey(): string | undefined {
    const { part } = this.table;
    if (part === undefined) return undefined;
    return part.isHome ? lentKey(this.key) : leaseKey(this.key);
  }

  #keyUnder(id: string): string {
    return `rl:${this.table.sharers}:{${digest(this.tag)}}:${id}:${digest(this.#value)}`;
  }
}

/** The callers of one limit; limits of equal definition share it. */
export class CallerTable {
  /** Name and digest of the definition. */
  readonly id: string;
  /** The service that counts here, or the word for the whole fleet. */
  readonly sharers: string;
  readonly rule: Rule;
  /** The rule as an argument of the script. */
  readonly spec: string;
  /** Set for a limit over regions; undefined = this region counts alone. */
  readonly part: RegionPart | undefined;
  /** The part of the script's argument that describes `part`. */
  readonly regionSpec: string;
  /** The table under the limit's former numbers, as long as its counts still mean the same. */
  former: CallerTable | undefined;
  // Created with the first caller: most of thousands of routes never get a request. Not bounded by lru-cache's `max`:
  // version 11 allocates its lists in advance for it, 1.2 MB.
  #callers: ReturnType<typeof boundedCache<Caller>> | undefined;

  constructor(
    id: string,
    sharers: string,
    rule: Rule,
    former: CallerTable | undefined,
    part: RegionPart | undefined,
  ) {
    this.id = id;
    this.sharers = sharers;
    this.rule = rule;
    const { capacity, perMs, window } = rule;
    this.spec = `${rule.algorithm[0]} ${capacity} ${perMs} ${window.monthly ? "M" : window.ms}`;
    this.part = part;
    this.regionSpec = part === undefined ? "" : ` ${part.isHome ? "home" : "leases"} ${part.pool}`;
    this.former = former;
    // One step back is enough: a chain would keep the tables of every former policy alive.
    if (former !== undefined) former.former = undefined;
  }

  get size(): number {
    return this.#callers?.size ?? 0;
  }

  of(exchange: Exchange, partition: Partition): Caller {
    const value = partition.value(exchange);
    return this.#callers?.get(value) ?? this.#add(value, partition.tag(exchange));
  }

  peek(value: string): Caller | undefined {
    return this.#callers?.peek(value);
  }

  #add(value: string, tag: string): Caller {
    const caller = new Caller(this, tag, value);
    const before = this.former?.peek(value);
    if (before !== undefined) {
      caller.usage.since = before.usage.since;
      merge(caller.usage, this.rule, before.usage);
      caller.unreported = before.unreported;
      Object.assign(caller.seed, before.seed);
    }
    this.#callers ??= boundedCache<Caller>(callersPerLimit);
    this.#callers.set(value, caller);
    return caller;
  }
}
