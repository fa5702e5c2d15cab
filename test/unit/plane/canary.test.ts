// What operators read about a canary, whose state every sidecar may write.
import assert from "node:assert/strict";
import { test } from "node:test";
import { canaryKey, canaryOrder, orderText } from "../../../src/canary/order.ts";
import { Canaries } from "../../../src/plane/canary.ts";
import { PolicyHistory } from "../../../src/plane/history.ts";
import type { Store } from "../../../src/plugin-api/store.ts";
import { connectStore } from "../../support/rate-limit.ts";
import { startRedis } from "../../support/redis.ts";

test("of its state only what is known there is read, and nothing of any length", async (t) => {
  const redis = await startRedis();
  const store = await connectStore(redis.url);
  t.after(async () => {
    store.close();
    await redis.close();
  });
  let bytes = 0;
  const run: Store["run"] = async (...call) => {
    const reply = await store.run(...call);
    bytes += JSON.stringify(reply).length;
    return reply;
  };
  const measured = Object.create(store, { run: { value: run } }) as Store;
  const order = canaryOrder.parse({
    id: "12345678-aaaa",
    service: null,
    services: null,
    revision: 2,
    baseDigest: "a",
    digest: "b",
    signedEpoch: 0,
    author: "ada",
    reason: "",
    by: "shadow",
    steps: [100],
    guards: [],
    minRequests: 1,
    everyMs: 100,
    forMs: 60_000,
    silentMs: 60_000,
    atMs: 0,
  });
  await store.set(canaryKey, orderText(order, Buffer.from("{}")));
  const put = { name: "put", lua: "return redis.call('HSET', KEYS[1], unpack(ARGV))" };
  const large = "x".repeat(1_000_000);
  const fields = { id: order.id, state: "running", startedAt: "5", why: large, [large]: "", "i:x": large };
  await store.run(put, ["canary-state"], Object.entries(fields).flat());
  const history = new PolicyHistory(measured, "");
  const found = await new Canaries(measured, history, "", 1_000_000).read();
  assert.equal(found?.state.startedAt, 5);
  assert.equal(found.state.why, "");
  assert.ok(bytes < 1_000, `${bytes}`);
});
