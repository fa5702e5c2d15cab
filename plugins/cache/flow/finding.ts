// Finds a stored response that this caller may have, in memory and in Redis.
import type { CacheOptions } from "../options.ts";
import type { Entry } from "../store/entry.ts";
import type { FlightKey } from "../store/flights.ts";
import { hashText } from "../store/intrusive-hash-table.ts";
import { isEverybodys } from "../key.ts";
import type { Wanted } from "./pending.ts";
import { matches } from "../store/entry-index.ts";
import type { CacheState } from "../state.ts";
import type { StoredEntry } from "../store/stored-entry.ts";
import { varyValues } from "../semantics/vary.ts";

export class Finder {
  readonly #state: CacheState;
  readonly #options: CacheOptions;

  constructor(state: CacheState, options: CacheOptions) {
    this.#state = state;
    this.#options = options;
  }

  /** Looks in memory, own answers first. An identified caller gets a shared answer only if it is `forAnyone`. */
  inMemory(wanted: Wanted): StoredEntry | undefined {
    const { memory } = this.#state;
    const { key } = wanted;
    const { fields } = wanted.exchange.request;
    const { scope } = this.#options;
    if (key.own !== key.shared && scope !== "shared") {
      const own = memory.select(key.url, key.own, key.hash, fields);
      if (own !== undefined || scope === "identity") return own;
    }
    const entry = memory.select(key.url, key.shared, key.hash, fields);
    return entry !== undefined && this.#isFor(entry, wanted) ? entry : undefined;
  }

  /** Looks in Redis and puts the entry that it finds into memory. Never rejects. */
  async inRedis(wanted: Wanted): Promise<StoredEntry | undefined> {
    const { redis, purges } = this.#state;
    if (!this.#options.redis || redis === undefined) return undefined;
    const { key } = wanted;
    const { fields } = wanted.exchange.request;
    const partitions = key.own === key.shared ? [key.shared] : [key.own, key.shared];
    const found = await Promise.all(
      partitions.map((partition) => redis.find(key.url, partition, fields, this.#options)),
    );
    // Nothing is awaited between this check and `memory.put`: a purge that comes later finds the entry in memory.
    const entry = found.find((one) => one !== undefined && this.#isFor(one, wanted) && !purges.isPurged(one));
    if (entry === undefined) return undefined;
    this.#state.memory.put(entry, key.hash);
    this.#state.measure();
    return entry;
  }

  /** Whether another request's answer fits this one too: the caller may have it, and the variant is the same. */
  fits(entry: Entry, wanted: Wanted): boolean {
    return this.#isFor(entry, wanted) && matches(entry, wanted.exchange.request.fields);
  }

  /**
   * Makes the key of a flight from URL, partition and, if the Vary is known, variant.
   * @param known a response whose Vary applies; without it, that of the newest entry in memory
   */
  flightKey({ key, exchange }: Wanted, known: Entry | undefined): FlightKey {
    const { memory } = this.#state;
    const shared = memory.find(key.url, key.shared, key.hash);
    const everybodys = this.#options.scope !== "identity" && shared?.forAnyone === true;
    const partition = everybodys ? key.shared : key.own;
    const own = partition === key.shared ? shared : memory.find(key.url, partition, key.hash);
    const newest = known ?? own;
    const vary = newest?.vary ?? [];
    if (vary.length === 0 && isEverybodys(partition)) return key;
    const variant = vary.length === 0 ? "" : `\n${JSON.stringify(varyValues(vary, exchange.request.fields))}`;
    return {
      url: `${key.url}\n${partition}${variant}`,
      hash: hashText(variant, hashText(partition, key.hash)),
      shared: key.shared,
    };
  }

  #isFor(entry: Entry, { key, seen }: Wanted): boolean {
    const identified = key.own !== key.shared;
    if (identified && entry.partition === key.own) return true;
    if (entry.partition !== key.shared) return false;
    if (identified) return entry.forAnyone && this.#options.scope !== "identity";
    // If the upstream set no lifetime, an answer stored for anonymous clients is not used for one with credentials.
    return !(entry.implicit && seen.credentials !== "");
  }
}
