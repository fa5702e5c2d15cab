// What this sidecar knows of the callers of each limit: a bounded table a limit, one record a caller.
import { boundedCache, type Exchange } from "../../src/plugin-api/contract.ts";
import { emptyUsage, merge, type Rule } from "./counting/algorithms.ts";
import { digest, type Partition } from "./partition.ts";
import type { RegionPart } from "./regions.ts";
import { leaseKey, lentKey } from "../../src/language/region-quota.ts";

/** Whatever the number of addresses: the least recently seen caller goes. About 300 bytes each. */
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
  /** How many permits it refused: fewer may be there. */
  deniedLeast = 0;
  /** When the permit that was refused is due, monotonic milliseconds. */
  dueAt = 0;
  /** The numbers by which `usage` was counted while Redis was out of reach; it must still be told. */
  unreported: Rule | undefined = undefined;
  lease: Lease | undefined = undefined;
  /** The lease taken ahead of need. */
  spare: Lease | undefined = undefined;
  /** The renewal under way. */
  pending: Promise<void> | undefined = undefined;
  /** Permits that requests wait for. */
  awaited = 0;
  /** Permits that were left in Redis when last heard. */
  remaining = 0;
  /** When a lease of another region's was last asked for, monotonic ms. */
  wantedAt = -Infinity;
  /** The key of the limit's former numbers, until Redis was asked once. */
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

  /** `rl:<service>:{hash of the caller}:limit`, made when first needed: embedded mode never hashes. */
  get key(): string {
    this.#key ??= this.#keyUnder(this.table.id);
    return this.#key;
  }

  /** Of a limit over regions: what says how much this region has beside its share. */
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
  /** The service that counts here, or the word for all. */
  readonly sharers: string;
  readonly rule: Rule;
  /** The rule as the script takes it. */
  readonly spec: string;
  /** Of a limit over regions; undefined = of this region alone. */
  readonly part: RegionPart | undefined;
  /** What the script takes of that. */
  readonly regionSpec: string;
  /** The table of the limit's former numbers, whose counts still mean something. */
  former: CallerTable | undefined;
  // Made with the first caller: of thousands of routes most are never asked for. Not by `max`, for which lru-cache 11 makes
  // its lists in advance: 1.2 MB.
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
    // One step back is enough: a chain would keep every policy there ever was.
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
