// The store behind Sentinel: it and its watches follow the master, in orderly failovers and others.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { parseRedisAddress } from "../../../src/redis/address.ts";
import type { ConnectionStateChange } from "../../../src/redis/connection-state.ts";
import { createStore, type RedisStore } from "../../../src/redis/store.ts";
import { eventually, type RedisSentinel, startSentinel } from "../../support/redis.ts";

let group: RedisSentinel;
let store: RedisStore;
const states: ConnectionStateChange[] = [];
const told: (string | null)[] = [];

before(async () => {
  group = await startSentinel();
  store = createStore({
    address: parseRedisAddress(group.url),
    keyPrefix: "outrigger:",
    connectionName: "sentinel-test",
    onState: (state) => states.push(state),
  });
  assert.equal(await store.whenUp(5_000), true);
  store.watch("policy", (key) => told.push(key));
  await eventually("the watch begins", () => told.includes(null));
});
after(async () => {
  store.close();
  await group.close();
});

/** A failover may break the new connection once more; a change made just then is told as `null`, so it is made again. */
async function heard(limitMs?: number): Promise<void> {
  await eventually("the watch begins anew", () => told.includes(null), limitMs);
  told.length = 0;
  await eventually(
    "a change on the master is told",
    async () => {
      await (await group.master()).cli.set("outrigger:policy", "1");
      return told.includes("policy");
    },
    limitMs,
  );
}

test("the master that the sentinels name is used", async () => {
  assert.equal(store.sharded, false);
  await store.set("k", "1");
  assert.equal(await (await group.master()).cli.get("outrigger:k"), "1");
  await heard();
});

test("sentinels that are away while the master lives change nothing; with both gone the store says so and comes back", async () => {
  const master = await group.master();
  for (const sentinel of group.sentinels) await sentinel.kill();
  assert.equal(await store.set("k", "2"), true);
  await master.kill();
  await eventually("down", () => !store.up && states.at(-1)?.up === false);
  const lone = createStore({
    address: parseRedisAddress(group.url),
    keyPrefix: "outrigger:",
    connectionName: "lone",
    onState: (state) => states.push(state),
  });
  await eventually("the cause is named", () => states.at(-1)?.reason === "no sentinel knows the master");
  told.length = 0;
  await master.restart();
  for (const sentinel of group.sentinels) await sentinel.restart();
  assert.equal(await store.whenUp(10_000), true);
  assert.equal(await lone.whenUp(10_000), true);
  lone.close();
  await heard();
});

test("after an orderly failover calls and watches leave the old master at once, while it still takes writes", async () => {
  const before = await group.master();
  told.length = 0;
  await group.failover();
  const now = await group.master();
  assert.notEqual(now, before);
  await eventually(
    "a write reaches the new master long before the old one is demoted",
    async () => {
      await store.set("moved", "1").catch(() => {});
      return (await now.cli.get("outrigger:moved")) === "1";
    },
    4_000,
  );
  assert.match(await before.cli.info("replication"), /role:master/u);
  await heard(3_000);
  assert.match(await before.cli.info("replication"), /role:master/u);
});

test("after the master dies the promoted replica is used", async () => {
  const dying = await group.master();
  const other = group.nodes.find((node) => node !== dying);
  assert.ok(other);
  told.length = 0;
  await dying.kill();
  await eventually("the store sees it", () => !store.up);
  await group.promoted(other);
  assert.equal(await store.whenUp(8_000), true);
  await eventually("a write reaches the new master", async () => {
    await store.set("promoted", "1").catch(() => {});
    return (await other.cli.get("outrigger:promoted")) === "1";
  });
  await heard();
});
