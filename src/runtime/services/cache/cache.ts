// Implements the cache behind `services.cache`. It looks in memory, then in Redis, then loads from the plugin's source.
// Concurrent callers of a key share one lookup.
import type { CacheLifetime, CacheLoadOptions, PluginCache } from "../../../plugin-api/cache.ts";
import type { Clock } from "../../../plugin-api/services.ts";
import type { Metrics } from "../../../plugin-api/telemetry.ts";
import { withinLimit } from "../../../plugin-api/within-limit.ts";
import { QuotaUse, refuse } from "../quota-use.ts";
import { type Entry, isEarlyRefresh } from "./entry.ts";
import { Flight } from "./flight.ts";
import { MemoryTier } from "./memory-tier.ts";
import { CacheMeasures } from "./measures.ts";
import { StoreTier, type StoreTierOptions } from "./store-tier.ts";

export interface CacheOptions {
  readonly plugin: string;
  /** Bound of memory, in bytes. One entry may take an eighth of it. */
  readonly maxBytes: number;
  /** Undefined = the cache is in memory only. */
  readonly shared?: Pick<StoreTierOptions, "store" | "prefix" | "seal"> | undefined;
  /** undefined = nothing is counted. */
  readonly metrics: Metrics | undefined;
  readonly clock: Clock;
  /** Returns a number from 0 to 1. */
  readonly random?: () => number;
}

/** Keys that may be loaded at the same time. */
const maxLoads = 1_000;
const maxKeyLength = 512;
const maxTtlMs = 30 * 86_400_000;
const defaultMemoryTtlMs = 30_000;
const defaultLoadLimitMs = 5_000;

type Load = (signal: AbortSignal) => Promise<unknown>;

export class TwoTierCache implements PluginCache {
  readonly #options: CacheOptions;
  readonly #memory: MemoryTier;
  readonly #store: StoreTier | undefined;
  readonly #maxEntryBytes: number;
  readonly #random: () => number;
  readonly #measures: CacheMeasures;
  readonly #loads: QuotaUse;
  readonly #flights = new Map<string, Flight<string>>();
  #closed = false;

  constructor(options: CacheOptions) {
    const { plugin, maxBytes, shared, metrics, clock, random = Math.random } = options;
    this.#options = options;
    this.#maxEntryBytes = Math.floor(maxBytes / 8);
    this.#memory = new MemoryTier(maxBytes);
    this.#store = shared && new StoreTier({ ...shared, clock, maxEntryBytes: this.#maxEntryBytes });
    this.#random = random;
    this.#measures = new CacheMeasures(plugin, metrics);
    this.#loads = new QuotaUse({
      plugin,
      quota: "cache_loads",
      max: maxLoads,
      unit: "keys loaded at once",
      metrics,
    });
  }

  async get(key: string): Promise<unknown> {
    this.#check(key);
    const entry = this.#fromMemory(key) ?? (await this.#fromStore(key, undefined));
    return entry === undefined || entry.json === "" ? undefined : JSON.parse(entry.json);
  }

  async set(key: string, value: unknown, lifetime: CacheLifetime): Promise<void> {
    this.#check(key);
    const json = jsonOf(value);
    if (json.length > this.#maxEntryBytes) throw this.#tooLarge();
    this.#supersede(key);
    const entry = this.#entry(json, lifetime.ttlMs, 0);
    this.#toMemory(key, entry, lifetime.memoryTtlMs);
    await this.#store?.set(key, entry);
  }

  async delete(key: string): Promise<void> {
    this.#check(key);
    this.#supersede(key);
    this.#memory.delete(key);
    this.#measures.bytes(this.#memory.bytes);
    await this.#store?.delete(key);
  }

  async getOrLoad<Value>(
    key: string,
    load: (signal: AbortSignal) => Promise<Value | undefined>,
    options: CacheLoadOptions<Value>,
  ): Promise<Value | undefined> {
    this.#check(key);
    const held = this.#fromMemory(key);
    if (held !== undefined) {
      const value = valueOf(held.json, options);
      if (value !== unreadable) {
        if (isEarlyRefresh(held, this.#options.clock.now(), this.#random)) this.#refresh(key, load, options);
        return value;
      }
      this.#memory.delete(key);
    }
    const known = this.#flights.get(key);
    if (known !== undefined) this.#measures.count("shared");
    const json = await (known ?? this.#depart(key, load, options, false)).join(options.signal);
    const value = valueOf(json, options);
    if (value === unreadable) throw new Error(`the cache's value of this key was refused by "read"`);
    return value;
  }

  open(): void {
    this.#closed = false;
  }

  /** Clears the memory tier and aborts all loads. */
  close(): void {
    this.#closed = true;
    for (const flight of this.#flights.values()) flight.end();
    this.#flights.clear();
    this.#memory.clear();
  }

  #check(key: string): void {
    if (this.#closed) throw new Error(`plugin "${this.#options.plugin}" is closed: it has no cache any more`);
    if (typeof key !== "string" || key === "" || key.length > maxKeyLength)
      throw new Error(`a key of the cache is a text of 1 to ${maxKeyLength} characters`);
  }

  #fromMemory(key: string): Entry | undefined {
    const { clock } = this.#options;
    const entry = this.#memory.get(key, clock.mono());
    if (entry !== undefined) this.#measures.count("memory");
    return entry;
  }

  async #fromStore(key: string, memoryTtlMs: number | undefined): Promise<Entry | undefined> {
    const entry = await this.#store?.get(key);
    if (entry === undefined) return undefined;
    this.#measures.count("store");
    this.#toMemory(key, entry, memoryTtlMs);
    return entry;
  }

  #toMemory(key: string, entry: Entry, memoryTtlMs: number | undefined): void {
    const { clock } = this.#options;
    const longest = this.#store === undefined ? maxTtlMs : (memoryTtlMs ?? defaultMemoryTtlMs);
    this.#memory.set(key, entry, clock.mono() + Math.min(entry.untilMs - clock.now(), longest));
    this.#measures.bytes(this.#memory.bytes);
  }

  /** A load that began before the key was set or deleted must not overwrite the newer state. */
  #supersede(key: string): void {
    const flight = this.#flights.get(key);
    if (flight === undefined) return;
    flight.superseded = true;
    this.#flights.delete(key);
  }

  #refresh<Value>(key: string, load: Load, options: CacheLoadOptions<Value>): void {
    if (this.#flights.has(key)) return;
    // If the refresh fails, the present entry stays.
    this.#depart(key, load, options, true)
      .join(undefined)
      .catch(() => {});
  }

  #depart<Value>(key: string, load: Load, options: CacheLoadOptions<Value>, anew: boolean): Flight<string> {
    const land = (): void => {
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    };
    const flight = new Flight<string>(async (self) => {
      try {
        const stored = anew ? undefined : await this.#fromStore(key, options.memoryTtlMs);
        if (stored !== undefined && valueOf(stored.json, options) !== unreadable) return stored.json;
        return await this.#load(key, load, options, self);
      } finally {
        land();
      }
    }, land);
    this.#flights.set(key, flight);
    return flight;
  }

  async #load<Value>(
    key: string,
    load: Load,
    options: CacheLoadOptions<Value>,
    flight: Flight<string>,
  ): Promise<string> {
    const { ttlMs, negativeTtlMs = 0, limitMs = defaultLoadLimitMs, memoryTtlMs } = options;
    flight.signal.throwIfAborted();
    this.#loads.take();
    this.#measures.count("load");
    const from = performance.now();
    try {
      const loading = (async () => load(flight.signal))();
      await withinLimit(loading, limitMs, `the load of a cached value took longer than ${limitMs} ms`);
      const value = await loading;
      const json = value === undefined ? "" : jsonOf(value);
      const entry = this.#entry(json, value === undefined ? negativeTtlMs : ttlMs, performance.now() - from);
      this.#keep(key, entry, memoryTtlMs, flight);
      return json;
    } catch (error) {
      flight.end();
      this.#measures.count("failed");
      throw error;
    } finally {
      this.#loads.giveBack();
    }
  }

  #keep(key: string, entry: Entry, memoryTtlMs: number | undefined, flight: Flight<string>): void {
    if (flight.superseded || flight.signal.aborted || this.#closed) return;
    if (entry.untilMs <= this.#options.clock.now()) return;
    // The callers get the value all the same; it is only not cached.
    if (entry.json.length > this.#maxEntryBytes) return void this.#tooLarge();
    this.#toMemory(key, entry, memoryTtlMs);
    void this.#store?.set(key, entry);
  }

  #entry(json: string, ttlMs: number, loadMs: number): Entry {
    if (!(ttlMs >= 0)) throw new Error("ttlMs is the number of milliseconds that a value is good");
    return { json, untilMs: this.#options.clock.now() + Math.min(ttlMs, maxTtlMs), loadMs };
  }

  #tooLarge(): Error {
    const { plugin, metrics } = this.#options;
    return refuse({
      plugin,
      quota: "cache_entry_bytes",
      max: this.#maxEntryBytes,
      unit: "bytes for one entry of its cache",
      metrics,
    });
  }
}

const unreadable = Symbol("refused by read");

function valueOf<Value>(
  json: string,
  { read }: CacheLoadOptions<Value>,
): Value | undefined | typeof unreadable {
  if (json === "") return undefined;
  const data: unknown = JSON.parse(json);
  // Without `read` the plugin itself states the type of what its load returned.
  if (read === undefined) return data as Value;
  try {
    return read(data);
  } catch {
    return unreadable;
  }
}

function jsonOf(value: unknown): string {
  const json = JSON.stringify(value) as string | undefined;
  if (json === undefined) throw new TypeError("a value of the cache is JSON data");
  return json;
}
