// The cache of plugins: one suite in memory only and with Redis, then the tests that are special to Redis.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import type { Store } from "../../../../../src/plugin-api/services.ts";
import { createSeals } from "../../../../../src/redis/seals.ts";
import { parseRedisAddress } from "../../../../../src/redis/address.ts";
import { createStore, type RedisStore } from "../../../../../src/redis/store.ts";
import { type CacheOptions, TwoTierCache } from "../../../../../src/runtime/services/cache/cache.ts";
import { createMetrics } from "../../../../../src/telemetry/metrics.ts";
import { TestClock } from "../../../../../src/testing/clock.ts";
import { eventually, type RedisServer, startRedis } from "../../../../support/redis.ts";

const prefix = "p:shop:geo:cache:";
let redis: RedisServer;
let store: RedisStore;
before(async () => {
  redis = await startRedis();
  store = createStore({
    address: parseRedisAddress(redis.url),
    keyPrefix: "outrigger:",
    connectionName: "test",
  });
  await store.whenUp(5_000);
});
after(async () => {
  store.close();
  await redis.close();
});

let clock: TestClock;
let metrics: ReturnType<typeof createMetrics>;
beforeEach(async () => {
  clock = new TestClock();
  metrics = createMetrics({ service: "shop" });
  await redis.cli.flushall();
});

/** Never loads early, unless a test has it so. */
const never = (): number => 1;
const cacheOver = (over: Store | undefined, options: Partial<CacheOptions> = {}): TwoTierCache =>
  new TwoTierCache({
    plugin: "geo",
    maxBytes: 80_000,
    shared: over && { store: over, prefix, seal: undefined },
    metrics,
    clock,
    random: never,
    ...options,
  });
const counted = async (result: string): Promise<number> => {
  const line = new RegExp(`^outrigger_plugin_cache_requests_total\\{.*result="${result}"\\} (\\d+)$`, "m");
  return Number(line.exec(await metrics.render())?.[1] ?? 0);
};
const minute = { ttlMs: 60_000 };

for (const [name, over] of [
  ["memory", () => undefined],
  ["Redis", () => store],
] as [string, () => Store | undefined][]) {
  describe(`a cache over ${name}`, () => {
    it("keeps JSON data for its time, and gives copies", async () => {
      const cache = cacheOver(over());
      const value = { list: [1, "zwei", null, true] };
      await cache.set("a", value, minute);
      value.list.push("later");
      const got = (await cache.get("a")) as typeof value;
      assert.deepEqual(got, { list: [1, "zwei", null, true] });
      got.list.pop();
      assert.deepEqual(await cache.get("a"), { list: [1, "zwei", null, true] });
      assert.equal(await cache.get("b"), undefined);
      await cache.delete("a");
      assert.equal(await cache.get("a"), undefined);
      await cache.set("c", null, { ttlMs: 200 });
      assert.equal(await cache.get("c"), null);
      clock.advance(201);
      assert.equal(await cache.get("c"), undefined);
    });

    it("loads once for all who ask, then not until its time is over", async () => {
      const cache = cacheOver(over());
      let loads = 0;
      const gate = Promise.withResolvers<number>();
      const ask = (): Promise<number | undefined> =>
        cache.getOrLoad(
          "k",
          () => ((loads += 1), loads === 1 ? gate.promise : Promise.resolve(loads)),
          minute,
        );
      const asked = Array.from({ length: 50 }, ask);
      await eventually("it loads", () => loads === 1);
      gate.resolve(7);
      assert.deepEqual(new Set(await Promise.all(asked)), new Set([7]));
      assert.equal(await ask(), 7);
      assert.equal(loads, 1);
      assert.deepEqual([await counted("load"), await counted("shared"), await counted("memory")], [1, 49, 1]);
      clock.advance(60_001);
      await redis.cli.flushall();
      assert.equal(await ask(), 2);
    });

    it("remembers that there is none, where it is asked to", async () => {
      const cache = cacheOver(over());
      let loads = 0;
      const load = async (): Promise<undefined> => void (loads += 1);
      for (let i = 0; i < 2; i += 1) assert.equal(await cache.getOrLoad("none", load, minute), undefined);
      assert.equal(loads, 2);
      const options = { ...minute, negativeTtlMs: 1_000 };
      for (let i = 0; i < 2; i += 1) assert.equal(await cache.getOrLoad("none", load, options), undefined);
      assert.equal(loads, 3);
      assert.equal(await cache.get("none"), undefined);
      clock.advance(1_001);
      await cache.getOrLoad("none", load, options);
      assert.equal(loads, 4);
    });

    it("keeps no failure, and tells everybody who waited", async () => {
      const cache = cacheOver(over());
      const fail = (): Promise<never> => Promise.reject(new Error("away"));
      const asked = [1, 2].map(() => cache.getOrLoad("f", fail, minute));
      for (const one of asked) await assert.rejects(one, /away/);
      const hang = { name: "OverLimit", message: /took longer than 30 ms/ };
      let aborted = false;
      const hanging = (signal: AbortSignal): Promise<never> =>
        new Promise(() => signal.addEventListener("abort", () => (aborted = true)));
      await assert.rejects(cache.getOrLoad("f", hanging, { ...minute, limitMs: 30 }), hang);
      assert.equal(aborted, true);
      assert.equal(await cache.getOrLoad("f", async () => "there", minute), "there");
      await assert.rejects(
        cache.getOrLoad("u", async () => () => 1, minute),
        /JSON data/,
      );
    });

    it("ends a load that nobody waits for any more, and only then", async () => {
      const cache = cacheOver(over());
      let signal: AbortSignal | undefined;
      const load = (given: AbortSignal): Promise<string> => {
        signal = given;
        return new Promise((resolve) => given.addEventListener("abort", () => resolve("late")));
      };
      const callers = [new AbortController(), new AbortController()];
      const asked = callers.map((caller) =>
        cache.getOrLoad("d", load, { ...minute, signal: caller.signal }).catch((error: Error) => error.name),
      );
      await eventually("it loads", () => signal !== undefined);
      callers[0]?.abort();
      assert.equal(await asked[0], "AbortError");
      assert.equal(signal?.aborted, false);
      callers[1]?.abort();
      assert.equal(await asked[1], "AbortError");
      assert.equal(signal?.aborted, true);
      assert.equal(await cache.getOrLoad("d", async () => "anew", minute), "anew");
      assert.equal(await cache.get("d"), "anew");
    });

    it("takes what is set or deleted while it loads for newer", async () => {
      const cache = cacheOver(over());
      const gate = Promise.withResolvers<string>();
      let loading = false;
      const asked = cache.getOrLoad("s", () => ((loading = true), gate.promise), minute);
      await eventually("it loads", () => loading);
      await cache.set("s", "newer", minute);
      gate.resolve("older");
      assert.equal(await asked, "older");
      assert.equal(await cache.get("s"), "newer");
    });

    it("loads anew before the end, in the background, once", async () => {
      let chance = 1;
      const cache = cacheOver(over(), { random: () => chance });
      let loads = 0;
      const load = async (): Promise<number> => {
        await new Promise((resolve) => setTimeout(resolve, 20));
        return (loads += 1);
      };
      assert.equal(await cache.getOrLoad("e", load, minute), 1);
      clock.advance(59_990);
      assert.equal(await cache.getOrLoad("e", load, minute), 1);
      chance = 0.01;
      for (let i = 0; i < 5; i += 1) assert.equal(await cache.getOrLoad("e", load, minute), 1);
      await eventually("it was loaded anew", () => loads === 2);
      await eventually("the new value is there", async () => (await cache.get("e")) === 2);
      chance = 1;
      clock.advance(1_000);
      assert.equal(await cache.getOrLoad("e", load, minute), 2);
      assert.equal(loads, 2);
    });

    it("loads anew what its reader refuses", async () => {
      const cache = cacheOver(over());
      await cache.set("r", "old form", minute);
      const read = (data: unknown): number => {
        if (typeof data !== "number") throw new Error("no number");
        return data;
      };
      assert.equal(await cache.getOrLoad("r", async () => 5, { ...minute, read }), 5);
      assert.equal(await cache.get("r"), 5);
      await assert.rejects(
        cache.getOrLoad("w", async () => "x" as unknown as number, { ...minute, read }),
        /refused by "read"/,
      );
    });

    it("holds no more memory than it may, nor an entry that is too large", async () => {
      const cache = cacheOver(over());
      const large = "x".repeat(10_001);
      const expected = {
        name: "QuotaExceeded",
        quota: "cache_entry_bytes",
        message: /10000 bytes for one entry/,
      };
      await assert.rejects(cache.set("large", large, minute), expected);
      assert.equal(await cache.getOrLoad("large", async () => large, minute), large);
      assert.equal(await cache.get("large"), undefined);
      for (let i = 0; i < 100; i += 1) await cache.set(`k${i}`, "x".repeat(1_000), minute);
      const bytes = Number(/^outrigger_plugin_cache_bytes\{.*\} (\d+)$/m.exec(await metrics.render())?.[1]);
      assert.ok(bytes > 60_000 && bytes <= 80_000, `${bytes} bytes`);
      assert.match(await metrics.render(), /quota_refusals_total\{.*quota="cache_entry_bytes"\} 2/);
      for (const key of ["", "k".repeat(513)]) await assert.rejects(cache.get(key), /a key of the cache/);
      await assert.rejects(cache.set("k", 1, { ttlMs: Number.NaN }), /ttlMs/);
    });

    it("is over with its plugin, and empty when that comes back", async () => {
      const cache = cacheOver(over());
      await cache.set("a", 1, minute);
      let signal: AbortSignal | undefined;
      const load = (given: AbortSignal): Promise<never> => {
        signal = given;
        return new Promise((_resolve, reject) =>
          given.addEventListener("abort", () => reject(new Error("ended"))),
        );
      };
      const asked = cache.getOrLoad("b", load, minute);
      await eventually("it loads", () => signal !== undefined);
      cache.close();
      await assert.rejects(asked, /ended/);
      await assert.rejects(cache.get("a"), /plugin "geo" is closed/);
      cache.open();
      await redis.cli.flushall();
      assert.equal(await cache.get("a"), undefined);
    });
  });
}

describe("what Redis holds of it", () => {
  it("is shared by sidecars, under the plugin's own keys, and each asks Redis once", async () => {
    const [one, two] = [cacheOver(store), cacheOver(store)];
    assert.equal(await one.getOrLoad("k", async () => "loaded", minute), "loaded");
    await eventually("it is in Redis", async () => (await redis.cli.exists(`outrigger:${prefix}k`)) === 1);
    assert.ok((await redis.cli.pttl(`outrigger:${prefix}k`)) > 50_000);
    assert.equal(await two.getOrLoad("k", () => Promise.reject(new Error("not asked")), minute), "loaded");
    assert.equal(await counted("store"), 1);
    await redis.cli.flushall();
    assert.equal(await two.get("k"), "loaded");
    // Deleted by another sidecar, it is answered from this one's memory for a while more.
    await one.delete("k");
    clock.advance(30_001);
    assert.equal(await two.get("k"), undefined);
  });

  it("counts nothing in Redis that no sidecar wrote, where it seals", async () => {
    const seal = createSeals([Buffer.alloc(32, 1).toString("base64url")], "outrigger:", "shop").of(
      "geo:cache",
    );
    const cache = cacheOver(store, { shared: { store, prefix, seal } });
    await cache.set("k", "own", { ttlMs: 60_000, memoryTtlMs: 0 });
    assert.equal(await cache.get("k"), "own");
    const sealed = await redis.cli.getBuffer(`outrigger:${prefix}k`);
    await redis.cli.set(`outrigger:${prefix}other`, sealed as Buffer);
    await redis.cli.set(`outrigger:${prefix}forged`, `${clock.now() + 60_000} 1 "forged"`);
    assert.equal(await cache.get("other"), undefined);
    assert.equal(await cache.get("forged"), undefined);
  });

  it("takes rubbish for nothing", async () => {
    const cache = cacheOver(store);
    const until = clock.now() + 60_000;
    for (const text of ["", "x", `${until} 1`, `${until} 1 ${" ".repeat(20_000)}1`, `${clock.now()} 1 1`]) {
      await redis.cli.set(`outrigger:${prefix}k`, text);
      assert.equal(await cache.get("k"), undefined, text.slice(0, 30));
    }
    for (const text of [`${until} 1 {`, `${until} 1 nothing`]) {
      await redis.cli.set(`outrigger:${prefix}k`, text);
      assert.equal(await cache.getOrLoad("k", async () => "loaded", minute), "loaded", text);
      await cache.delete("k");
    }
    await redis.cli.hset(`outrigger:${prefix}h`, "a", "b");
    assert.equal(await cache.get("h"), undefined);
  });

  it("waits for a Redis that does not answer 50 ms at most, soon not at all, and finds it again", async () => {
    const cache = cacheOver(store);
    await cache.set("before", 1, minute);
    redis.freeze();
    try {
      let soonest = Infinity;
      for (let i = 0; i < 6; i += 1) {
        const from = performance.now();
        assert.equal(await cache.getOrLoad(`b${i}`, async () => i, minute), i);
        soonest = Math.min(soonest, performance.now() - from);
      }
      assert.ok(soonest < 300, `${soonest} ms`);
      const then = performance.now();
      for (let i = 0; i < 20; i += 1) await cache.getOrLoad(`c${i}`, async () => i, minute);
      await cache.set("d", 1, minute);
      await cache.delete("d");
      assert.ok(performance.now() - then < 800, `${performance.now() - then} ms`);
      assert.equal(await cache.get("before"), 1);
    } finally {
      redis.thaw();
    }
    await eventually("Redis is asked again", async () => {
      clock.advance(30_000);
      await cache.set("again", 1, minute);
      return (await redis.cli.exists(`outrigger:${prefix}again`)) === 1;
    });
  });
});
