// Asks for leases of limits over regions: lists the callers that need more in this region's Redis, for its relay.
import type { Clock, Script, Store } from "../../../src/plugin-api/contract.ts";
import { maxWants, wantsKey, wantText } from "../../../src/language/region-quota.ts";
import type { Caller } from "../caller.ts";
import { windowEnd, windowStart } from "./window.ts";

/** A caller is reported again after this time. */
const againMs = 250;
const limitMs = 1_000;
/** Callers beyond this number at one moment are reported when they next ask. */
const maxAtOnce = 500;

/** KEYS: list of wants. ARGV: when (epoch ms), most, how long it is kept without another (ms), wants. */
const wantScript: Script = {
  name: "rate-limit-want",
  lua: `
if type(redis.pcall('ZCARD', KEYS[1])) == 'table' then redis.call('UNLINK', KEYS[1]) end
for i = 4, #ARGV do redis.call('ZADD', KEYS[1], ARGV[1], ARGV[i]) end
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - tonumber(ARGV[2]))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 0`,
};

export class RegionWants {
  readonly #store: Pick<Store, "runAll">;
  readonly #clock: Clock;
  /** Gathered by list key; `atMs` is the latest time. */
  readonly #waiting = new Map<string, { atMs: number; keptMs: number; readonly texts: Set<string> }>();
  readonly #gatherMs: number;
  #isDue = false;

  constructor(store: Pick<Store, "runAll">, clock: Clock, gatherMs = 50) {
    this.#store = store;
    this.#clock = clock;
    this.#gatherMs = gatherMs;
  }

  /** @param serverMs server's time at which `remaining` permits were left */
  note(caller: Caller, remaining: number, serverMs: number): void {
    const { part, rule, sharers } = caller.table;
    if (part === undefined || part.isHome || part.pool === 0 || remaining >= part.ahead) return;
    const now = this.#clock.mono();
    if (now - caller.wantedAt < againMs) return;
    const key = wantsKey(sharers);
    const list = this.#waiting.get(key) ?? { atMs: 0, keptMs: 0, texts: new Set<string>() };
    if (list.texts.size >= maxAtOnce) return;
    caller.wantedAt = now;
    const startMs = windowStart(rule.window, serverMs);
    const endMs = windowEnd(rule.window, startMs);
    const { home, share, pool, ahead } = part;
    list.texts.add(wantText(caller.key, { home, startMs, endMs, share, pool, ahead }));
    list.atMs = Math.max(list.atMs, serverMs);
    list.keptMs = Math.max(list.keptMs, endMs - serverMs + 60_000);
    this.#waiting.set(key, list);
    if (this.#isDue) return;
    this.#isDue = true;
    setTimeout(() => void this.#tell(), this.#gatherMs).unref();
  }

  /** Never rejects. A lost report is made again when the caller asks again. */
  async #tell(): Promise<void> {
    this.#isDue = false;
    const calls = [...this.#waiting].map(([key, { atMs, keptMs, texts }]) => ({
      script: wantScript,
      keys: [key],
      args: [atMs, maxWants, keptMs, ...texts],
    }));
    this.#waiting.clear();
    await this.#store.runAll(calls, limitMs).catch(() => {});
  }
}
