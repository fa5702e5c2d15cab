// Which sidecars of a fleet count as alive, on a real Redis.
import assert from "node:assert/strict";
import { test } from "node:test";
import { readFleet } from "../../../src/plane/fleet.ts";
import { parseRedisAddress } from "../../../src/redis/address.ts";
import { createStore } from "../../../src/redis/store.ts";
import { startRedis } from "../../support/redis.ts";

test("alive is whose heartbeat is there, however long ago it was written, and who was just heard of", async (t) => {
  const redis = await startRedis();
  t.after(() => redis.close());
  const store = createStore({
    limitMs: 2_000,
    address: parseRedisAddress(redis.url),
    keyPrefix: "outrigger:",
    connectionName: "fleet-test",
  });
  t.after(() => store.close());
  assert.ok(await store.whenUp(5_000));
  const [seconds] = await redis.cli.time();
  const nowMs = Number(seconds) * 1_000;
  await redis.cli.zadd("outrigger:fleet:seen", nowMs, "users");
  await redis.cli.zadd("outrigger:live:users", nowMs - 50_000, "rare", nowMs - 50_000, "gone", nowMs, "new");
  await redis.cli.set("outrigger:fleet:users:rare", JSON.stringify({ version: "1.0.0" }));
  const { members } = await readFleet(store, undefined);
  assert.deepEqual(
    members.map(({ instance, state }) => `${instance} ${state}`),
    ["gone lost", "new live", "rare live"],
  );
});
