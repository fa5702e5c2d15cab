// Elects the one of several syncs that writes: a key in Redis that its holder renews. It is in Redis and not in the
// cluster, because a sync without Redis cannot write anyhow. So there is only one kind of outage, and syncs of folders
// have a leader, too.
import { setTimeout as wait } from "node:timers/promises";
import type { Script, Store } from "../plugin-api/store.ts";

const leaseKey = "sync:leader";
const ttlMs = 15_000;
const limitMs = 2_000;
/** A change that has begun must end before the lease does: history.ts allows it five seconds. */
const marginMs = 6_000;

/** Takes or renews the lease. KEYS: lease. ARGV: holder, ms. @returns the holder */
const take: Script = {
  name: "sync-lease-take",
  lua: `
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return held end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]`,
};
const giveUp: Script = {
  name: "sync-lease-give-up",
  lua: `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`,
};

export const renewMs = 2_000;

export class Lease {
  readonly #store: Store;
  readonly #holder: string;
  readonly #now: () => number;
  #untilMono = -Infinity;
  #other: string | undefined;

  /** @param holder unique among all syncs @param now monotonic ms */
  constructor(store: Store, holder: string, now: () => number = performance.now.bind(performance)) {
    this.#store = store;
    this.#holder = holder;
    this.#now = now;
  }

  /** Whether the lease is held long enough for another write. */
  get isHeld(): boolean {
    return this.#now() < this.#untilMono - marginMs;
  }

  /** Another sync that holds the lease; undefined = none is known. */
  get other(): string | undefined {
    return this.#other;
  }

  /** Takes or renews the lease. Rejects with StoreUnavailable. */
  async take(): Promise<boolean> {
    const askedMono = this.#now();
    const holder = String(await this.#store.run(take, [leaseKey], [this.#holder, ttlMs], limitMs));
    const isOurs = holder === this.#holder;
    this.#untilMono = isOurs ? askedMono + ttlMs : -Infinity;
    this.#other = isOurs ? undefined : holder.slice(0, 300);
    return isOurs;
  }

  /** Renews the lease until the signal aborts; never rejects. */
  async keep(signal: AbortSignal, everyMs = renewMs): Promise<void> {
    while (!signal.aborted) {
      await wait(everyMs, undefined, { signal }).catch(() => {});
      if (!signal.aborted) await this.take().catch(() => {});
    }
  }

  /** Gives the lease up. Never rejects. */
  async giveUp(): Promise<void> {
    this.#untilMono = -Infinity;
    await this.#store.run(giveUp, [leaseKey], [this.#holder], limitMs).catch(() => {});
  }
}
