// Which sidecars have a change in force, by heartbeats in a real Redis: a silent sidecar never counts as having it.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { type Convergence, converge } from "../../../src/plane/converge.ts";
import { readFleet } from "../../../src/plane/fleet.ts";
import { parseRedisAddress } from "../../../src/redis/address.ts";
import { createStore, type RedisStore } from "../../../src/redis/store.ts";
import { eventually, type RedisServer, startRedis } from "../../support/redis.ts";

describe("a fleet of two", () => {
  let redis: RedisServer;
  let store: RedisStore;
  before(async () => {
    redis = await startRedis();
    const address = parseRedisAddress(redis.url);
    store = createStore({
      limitMs: 2_000,
      address,
      keyPrefix: "outrigger:",
      connectionName: "converge-test",
    });
    assert.ok(await store.whenUp(5_000));
  });
  after(async () => {
    store.close();
    await redis.close();
  });
  beforeEach(async () => {
    await redis.cli.flushall();
    await beats("o1", "new");
    await beats("o2", "old");
  });
  const beats = async (instance: string, shared: string): Promise<void> => {
    await redis.cli.zadd("outrigger:fleet:seen", Date.now(), "orders");
    await redis.cli.zadd("outrigger:live:orders", Date.now(), instance);
    const beat = { documents: { shared, layer: null }, inForceAt: 1 };
    await redis.cli.set(`outrigger:fleet:orders:${instance}`, JSON.stringify(beat));
  };
  /** @param meanwhile once it is known that one has it and one has not */
  async function waitFor(limitMs: number, meanwhile: () => Promise<unknown>): Promise<Convergence> {
    const asked = Promise.withResolvers<void>();
    const waiting = converge(
      store,
      { service: undefined, digest: "new", atMs: 0 },
      { limitMs, signal: new AbortController().signal, onProgress: () => asked.resolve() },
    );
    await asked.promise;
    await meanwhile();
    return await waiting;
  }

  test("one that falls silent is not taken for one that has it", async () => {
    const { converged, inForce, gone, late } = await waitFor(300, () =>
      redis.cli.del("outrigger:fleet:orders:o2"),
    );
    assert.deepEqual([converged, inForce, gone, late], [false, 1, ["orders/o2"], []]);
  });

  test("one that ends is waited for no more", async () => {
    const { converged, gone, left } = await waitFor(20_000, async () => {
      await redis.cli.zrem("outrigger:live:orders", "o2");
      await redis.cli.del("outrigger:fleet:orders:o2");
    });
    assert.deepEqual([converged, gone, left], [true, [], ["orders/o2"]]);
  });

  test("one that was silent for a while, as Redis was, may have it then", async () => {
    const { converged, inForce } = await waitFor(20_000, async () => {
      await redis.cli.del("outrigger:fleet:orders:o2");
      redis.freeze();
      await eventually("it is seen", () => !store.up);
      redis.thaw();
      await eventually("it is back", () => store.up);
      await beats("o2", "new");
    });
    assert.deepEqual([converged, inForce], [true, 2]);
  });

  test("what a sidecar writes in place of its own keys hides nobody else, and is told", async () => {
    await redis.cli.zadd("outrigger:fleet:seen", Date.now(), "users");
    await redis.cli.set("outrigger:live:users", "mine");
    await redis.cli.set("outrigger:fleet:orders:o1", `{"version":"${"1".repeat(300_000)}"}`);
    const { members, unreadable } = await readFleet(store, undefined);
    assert.deepEqual(
      members.map(({ instance, receipt }) => [instance, receipt !== null]),
      [
        ["o1", false],
        ["o2", true],
      ],
    );
    assert.deepEqual(unreadable, ["live:users"]);
    await beats("o1", "new");
    const waited = await waitFor(20_000, () => beats("o2", "new"));
    assert.deepEqual([waited.converged, waited.inForce, waited.unreadable], [false, 2, ["live:users"]]);
    await redis.cli.set("outrigger:fleet:seen", "mine");
    assert.deepEqual((await readFleet(store, undefined)).unreadable, ["fleet:seen"]);
  });
});
