// Reports of a shadow run are read, whatever else is in the same place: every sidecar may write there.
import assert from "node:assert/strict";
import { test } from "node:test";
import { readShadow, shadowKey, type ToldShadow } from "../../../src/canary/shadow-reports.ts";
import type { CanaryOrder } from "../../../src/canary/order.ts";
import { ShadowCounts } from "../../../src/shadow/report.ts";
import { connectStore } from "../../support/rate-limit.ts";
import { startRedis } from "../../support/redis.ts";

test("what is too large or no report hides nothing else, and is counted", async (t) => {
  const redis = await startRedis();
  const store = await connectStore(redis.url);
  t.after(async () => {
    store.close();
    await redis.close();
  });
  const order = { id: "11111111-aaaa", revision: 7 } as CanaryOrder;
  const put = { name: "put", lua: "return redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])" };
  const set = (name: string, value: string) => store.run(put, [shadowKey(order)], [name, value]);
  const counts = new ShadowCounts();
  counts.compared = 3;
  const told = { id: order.id, service: "orders", instance: "1", refused: "", report: counts.read() };
  for (let i = 0; i < 250; i += 1)
    await set(`orders/${i}/b`, JSON.stringify({ ...told, instance: String(i) } satisfies ToldShadow));
  await set("orders/of-another-run", JSON.stringify({ ...told, id: "another" }));
  await set("orders/garbage", "{");
  // It would be taken, were it not for its length.
  const large = JSON.stringify({ ...told, instance: "large" } satisfies ToldShadow);
  await set("orders/large", large.padEnd(3 * 1024 * 1024));
  await set("n".repeat(2_000), "{}");
  const read: ToldShadow[] = [];
  assert.equal(await readShadow(store, order, (one) => read.push(one)), 3);
  assert.equal(new Set(read.map(({ instance }) => instance)).size, 250);
  assert.ok(read.every(({ report }) => report.compared === 3));
  for (let i = 0; i < 25; i += 1) await set(`orders/hoard-${i}`, " ".repeat(1_900_000));
  assert.equal(await readShadow(store, order, () => {}), 28);
  await store.delete(shadowKey(order));
  await store.set(shadowKey(order), "somebody's");
  assert.equal(await readShadow(store, order, () => {}), undefined);
});
