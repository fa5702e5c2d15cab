// Records for `outrigger keys list` when each key was last used at which service. It writes to Redis in the background,
// at most once a minute for a key, and drops uses rather than wait.
import { boundedCache, type Script, type Services } from "../../../src/plugin-api/contract.ts";

/** Hash field = service, value = epoch milliseconds; kept for 90 days after the last use. */
const recordUse: Script = {
  name: "auth-key-use",
  lua: "redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) redis.call('EXPIRE', KEYS[1], 7776000) return 1",
};

/**
 * @returns the Redis key for the uses of one API key, by its id. It lies outside `apikey:`, so that a use does not
 * invalidate the cached key.
 */
export const usageKey = (id: string): string => `keyuse:${id}`;

const intervalMs = 60_000;
const flushMs = 2_000;
const maxPending = 1_000;
const maxTracked = 65_536;

export class KeyUsage {
  readonly #services: Services;
  readonly #written = boundedCache<number>(maxTracked);
  readonly #pending = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;

  constructor(services: Services) {
    this.#services = services;
  }

  used(id: string, nowMs: number): void {
    const last = this.#written.get(id);
    if (last !== undefined && nowMs - last < intervalMs && nowMs >= last) return;
    if (this.#services.store === undefined || this.#pending.size >= maxPending) return;
    this.#written.set(id, nowMs);
    this.#pending.set(id, nowMs);
    this.#timer ??= setTimeout(() => void this.flush(), flushMs).unref();
  }

  /** Writes the pending uses now. Never rejects. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const { store, fleet, logger } = this.#services;
    const uses = [...this.#pending];
    this.#pending.clear();
    if (store === undefined || uses.length === 0) return;
    const calls = uses.map(([id, atMs]) => ({
      script: recordUse,
      keys: [usageKey(id)],
      args: [fleet.service, atMs],
    }));
    try {
      await store.runAll(calls);
    } catch (error) {
      logger.debug({ err: error }, "uses of API keys were not recorded");
    }
  }
}
