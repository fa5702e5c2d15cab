// How a sidecar follows the canary in Redis.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type CanaryOrder, canaryKey, orderText } from "../../../src/canary/order.ts";
import { type CanaryPart, CanaryWatch } from "../../../src/canary/watch.ts";
import { digestOf } from "../../../src/policy/document/digest.ts";
import { parseRedisAddress } from "../../../src/redis/address.ts";
import { createStore, type RedisStore } from "../../../src/redis/store.ts";
import { type RedisServer, startRedis } from "../../support/redis.ts";

const document = Buffer.from("{}");
let redis: RedisServer;
let store: RedisStore;
before(async () => {
  redis = await startRedis();
  const address = parseRedisAddress(redis.url);
  store = createStore({ limitMs: 2_000, address, keyPrefix: "outrigger:", connectionName: "watch-test" });
  assert.ok(await store.whenUp(5_000));
});
after(async () => {
  store.close();
  await redis.close();
});

async function order(by: CanaryOrder["by"]): Promise<void> {
  const id = crypto.randomUUID();
  const plan = { steps: [100], guards: [], minRequests: 1, everyMs: 50, forMs: 3_600_000, silentMs: 60_000 };
  const whose = { service: null, services: null, author: "ada", reason: "", signedEpoch: 0 };
  const what = { revision: 2, baseDigest: "base", digest: digestOf(document), atMs: 0 };
  await redis.cli.set(`outrigger:${canaryKey}`, orderText({ id, by, ...plan, ...whose, ...what }, document));
  await redis.cli.del("outrigger:canary-state");
  const state = { id, state: "running", step: 1, stepAt: Date.now(), startedAt: Date.now() };
  await redis.cli.hset("outrigger:canary-state", { ...state, plan: JSON.stringify(plan) });
}

// Else whoever still reads the candidate takes it for one that came too late, and none that is large is ever tried.
for (const by of ["shadow", "traffic"] as const) {
  test(`what is to be done is told once, however often it is looked at: ${by}`, async () => {
    await order(by);
    const parts: (CanaryPart | undefined)[] = [];
    let looks = 0;
    const enough = Promise.withResolvers<void>();
    /** Asked at each look, before what follows of it. */
    const looked = (): void => {
      looks += parts.at(-1)?.document === undefined ? 0 : 1;
      if (looks === 5) enough.resolve();
    };
    const none = { refused: undefined, held: false, candidate: [], baseline: [] };
    const watch = new CanaryWatch({
      store,
      keyPrefix: "outrigger:",
      service: "orders",
      instance: "orders-1",
      maxBytes: 1_000,
      documents: () => ({ shared: "base", layer: null }),
      counted: () => (looked(), none),
      shadowed: () => (looked(), { refused: undefined, report: undefined }),
      onPart: (part) => parts.push(part),
      onJudged: () => {},
      onEnd: (_order, state, why) => enough.reject(new Error(`${state}: ${why}`)),
      onRefused: (code) => enough.reject(new Error(code)),
    });
    watch.start();
    await enough.promise;
    await watch.stop();
    assert.deepEqual(
      parts.map((part) => part?.percent),
      [100],
    );
  });
}
