// The Redis scripts of a relay for quotas across regions, one step at a time: each counts only on the base of what was
// read, and only while that is fresh.
import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { leaseKey, lentKey } from "../../../../src/language/region-quota.ts";
import { giveUp, lend, place, takeBack } from "../../../../src/plane/relay/quota-scripts.ts";
import type { RedisStore } from "../../../../src/redis/store.ts";
import { connectStore, TestClock } from "../../../support/rate-limit.ts";
import { type RedisServer, startRedis } from "../../../support/redis.ts";

const clock = new TestClock();
const count = "{k}";
const [leased, lent] = [leaseKey(count), lentKey(count)];
const minute = 60_000;
let redis: RedisServer;
let store: RedisStore;

before(async () => {
  redis = await startRedis();
  store = await connectStore(redis.url, clock);
});
after(async () => {
  store.close();
  await redis.close();
});
beforeEach(async () => {
  await redis.cli.flushall();
  clock.epochMs = 1_000;
});

/** Of the window that began at 0. */
const placed = (was: string, willBe: string, freshUntil = 4_000): Promise<unknown> =>
  store.run(place, [leased], [was, willBe, minute, freshUntil]);

test("a lease is written over the one that was read, and over no other", async () => {
  assert.equal(await placed("", "0 1 20 0 0"), 1);
  assert.equal(await placed("", "0 1 30 0 0"), 0);
  assert.equal(await store.get(leased), "0 1 20 0 0");
  assert.equal(await placed("0 1 20 0 0", "0 2 30 0 0"), 1);
  assert.equal(await store.get(leased), "0 2 30 0 0");
});

test("a lease is not written by what was read too long ago, nor when its window is over", async () => {
  clock.epochMs = 4_000;
  assert.equal(await placed("", "0 1 20 0 0"), 0);
  clock.epochMs = minute;
  assert.equal(await placed("", "0 1 20 0 0", 2 * minute), 0);
  assert.equal(await store.get(leased), null);
});

interface Asked {
  readonly seq: number;
  readonly held: number;
  readonly more: number;
}

/** The share of each region is 10, the pool 70. @returns seq, what us had before, what it has now, whether the pool is empty */
const lentTo = ({ seq, held, more }: Asked): Promise<unknown> =>
  store.run(lend, [count, lent], ["us", 0, minute, seq, held, more, 10, 70]);

test("what a region has is believed where the home region has forgotten it, and not where it is older than what that knows", async () => {
  assert.deepEqual(await lentTo({ seq: 3, held: 20, more: 0 }), [4, 0, 20, 0]);
  assert.equal(await store.get(lent), `0:us ${minute} 4 20`);
  await store.set(lent, `0:us ${minute} 5 9`);
  assert.deepEqual(await lentTo({ seq: 3, held: 20, more: 10 }), [5, 9, 9, 0]);
  assert.equal(await store.get(lent), `0:us ${minute} 5 9`);
});

test("what was lent and did not arrive is lent already", async () => {
  await store.set(lent, `0:us ${minute} 5 20`);
  assert.deepEqual(await lentTo({ seq: 4, held: 12, more: 10 }), [6, 20, 22, 0]);
});

test("what others have, and the home region has used beyond its share, is not lent, and of the rest a half at the most", async () => {
  await store.set(lent, `0:ap ${minute} 1 30`);
  await store.set(count, "20 0 0");
  assert.deepEqual(await lentTo({ seq: 0, held: 0, more: 60 }), [1, 0, 15, 0]);
  // Whatever was used in another window is nothing to this one.
  await store.set(lent, `${minute}:ap ${2 * minute} 1 30`);
  await store.set(count, "20 -60000 0");
  assert.deepEqual(await lentTo({ seq: 0, held: 0, more: 60 }), [1, 0, 35, 0]);
});

test("of a window that is over, by the clock or by the count, nothing is lent", async () => {
  const over = [-1, 0, 0, 0];
  await store.set(count, `1 ${minute} 0`);
  assert.deepEqual(await lentTo({ seq: 0, held: 0, more: 5 }), over);
  await store.delete(count);
  clock.epochMs = minute;
  assert.deepEqual(await lentTo({ seq: 0, held: 0, more: 5 }), over);
  assert.equal(await store.get(lent), null);
});

/** @returns permits that the region keeps */
const givenUp = (was: string, start = 0): Promise<unknown> =>
  store.run(giveUp, [count, leased], [was, start]);

test("a region gives up what it has not used, of the lease that was read, in its window", async () => {
  await store.set(leased, "0 3 20 2 0");
  await store.set(count, "12 0 0");
  assert.equal(await givenUp("0 2 20 2 0"), -1);
  assert.equal(await givenUp("0 3 20 2 0", minute), -1);
  assert.equal(await store.get(leased), "0 3 20 2 0");
  assert.equal(await givenUp("0 3 20 2 0"), 12);
  assert.equal(await store.get(leased), "0 4 12 2 0");
  await store.set(count, "15 0 0");
  assert.equal(await givenUp("0 4 12 2 0"), 12, "the share is used after the lease");
});

test("the home region takes back what a later step than the one that it knows has given up, of that region and window", async () => {
  const others = [`0:ap ${minute} 5 30`, `${minute}:us ${2 * minute} 5 30`];
  await store.set(lent, [`0:us ${minute} 5 20`, ...others].join("\n"));
  const takenBack = (seq: number, permits: number): Promise<unknown> =>
    store.run(takeBack, [lent], ["us", 0, seq, permits]);
  assert.equal(await takenBack(5, 3), 0);
  assert.equal(await takenBack(6, 12), 8);
  assert.equal(await store.get(lent), [`0:us ${minute} 6 12`, ...others].join("\n"));
  // The same again, as its answer was lost.
  assert.equal(await takenBack(6, 12), 0);
});
