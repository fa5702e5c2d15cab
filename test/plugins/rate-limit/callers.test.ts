// Which requests are counted together: the values of `by`, the keys made from them, and how many callers are
// remembered.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import * as fc from "fast-check";
import { CallerTables, type Limit } from "../../../plugins/rate-limit/limit.ts";
import { MemoryCounts } from "../../../plugins/rate-limit/counting/memory-counts.ts";
import { createPartition } from "../../../plugins/rate-limit/partition.ts";
import { RedisCounts } from "../../../plugins/rate-limit/counting/redis-counts.ts";
import type { RedisStore } from "../../../src/redis/store.ts";
import { exchangeOf, type ExchangeFacts } from "../../support/exchange.ts";
import { reservationOf, connectStore, limitOf, TestClock } from "../../support/rate-limit.ts";
import { startRedis, type RedisServer } from "../../support/redis.ts";

type By = string | string[];

const partitionOf = (by: By, fallback: "ip" | "shared" = "ip", ipv6Prefix = 64) =>
  createPartition(by, fallback, {
    service: "orders",
    ipv6Prefix,
    planOf: (exchange) => exchange.identity?.plan ?? "free",
  });

const together = (by: By, a: ExchangeFacts, b: ExchangeFacts, fallback: "ip" | "shared" = "ip"): boolean => {
  const partition = partitionOf(by, fallback);
  return partition.value(exchangeOf(a)) === partition.value(exchangeOf(b));
};

test("addresses: IPv4 each for itself, IPv6 by network, mapped IPv4 as what it is", () => {
  const same = (a: string, b: string): boolean => together("ip", { address: a }, { address: b });
  assert.ok(!same("192.0.2.1", "192.0.2.2"));
  assert.ok(same("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"));
  assert.ok(!same("2001:db8:1:2::1", "2001:db8:1:3::1"));
  assert.ok(same("::ffff:192.0.2.1", "192.0.2.1"));
  assert.ok(same("fe80::1%eth0", "fe80::2%eth1"));
  for (const [prefix, equal] of [
    [56, true],
    [63, true],
    [64, false],
    [128, false],
  ] as const) {
    const partition = partitionOf("ip", "ip", prefix);
    const [a, b] = ["2001:db8:0:2::1", "2001:db8:0:3::1"].map((address) =>
      partition.value(exchangeOf({ address })),
    );
    assert.equal(a === b, equal, `/${prefix}`);
  }
});

test("subjects, keys, plans, claims and header fields tell callers apart", () => {
  const alice = {
    identity: { userId: "alice", plan: "pro", credentialId: "k1", claims: { org: { id: 7 } } },
  };
  const again = { identity: { ...alice.identity, credentialId: "k2" }, address: "192.0.2.99" };
  assert.ok(together("subject", alice, again));
  assert.ok(!together("apiKey", alice, again));
  assert.ok(together("plan", alice, { identity: { userId: "bob", plan: "pro" } }));
  assert.ok(together("plan", {}, { identity: { plan: "free" } }), "no plan is the default one");
  assert.ok(together("claim:org.id", alice, { identity: { claims: { "org.id": "7" } } }));
  assert.ok(!together("claim:org.id", alice, { identity: { claims: { org: { id: 8 } } } }));
  assert.ok(
    together("header:X-Tenant", { fields: ["x-tenant", "a"] }, { fields: ["X-TENANT", "a"], address: "::1" }),
  );
  assert.ok(together("service", alice, {}));
  assert.ok(together("route", alice, {}));
});

test("users of one id are told apart by who vouches for them", () => {
  const of = (issuer?: string, userId = "1"): ExchangeFacts => ({ identity: { userId, issuer } });
  assert.ok(together("subject", of("https://a"), { ...of("https://a"), address: "192.0.2.99" }));
  assert.ok(!together("subject", of("https://a"), of("https://b")));
  assert.ok(!together("subject", of("https://a"), of()));
  assert.ok(!together(["subject", "route"], of("https://a"), of("https://b")));
  assert.ok(together("subject", of("https://a", ""), {}), "without a user by address");
});

test("a token's id is no API key", () => {
  const token = { identity: { method: "jwt", credentialId: "issuer" } };
  assert.ok(!together("apiKey", token, { ...token, address: "192.0.2.99" }), "counted by address");
});

test("what is absent counts by address, or all in one bucket, and never with those who have it", () => {
  const absent: ExchangeFacts[] = [{}, { identity: { userId: "" } }];
  for (const facts of absent) {
    assert.ok(together("subject", facts, {}));
    assert.ok(!together("subject", facts, { address: "192.0.2.99" }));
    assert.ok(together("subject", facts, { address: "192.0.2.99" }, "shared"));
  }
  assert.ok(together("claim:org", { identity: { claims: { org: { id: 1 } } } }, {}), "an object is no value");
  for (const userId of ["192.0.2.7", "ip:192.0.2.7", "\0ip:192.0.2.7"]) {
    assert.ok(!together("subject", { identity: { userId } }, {}), JSON.stringify(userId));
  }
  assert.ok(together("claim:__proto__.x", { identity: { claims: {} } }, {}));
});

test("combined values are equal only where every part is", () => {
  const by = ["header:a", "header:b"];
  fc.assert(
    fc.property(fc.tuple(fc.string(), fc.string()), fc.tuple(fc.string(), fc.string()), (left, right) => {
      const facts = ([a, b]: [string, string]): ExchangeFacts => ({ fields: ["a", a, "b", b] });
      const equal = left[0] === right[0] && left[1] === right[1];
      assert.equal(together(by, facts(left), facts(right)), equal);
    }),
  );
  assert.ok(!together(by, { fields: ["a", "x", "b", "yz"] }, { fields: ["a", "xy", "b", "z"] }));
});

test("all limits of one caller share a hash tag; no key shows who it is", () => {
  const alice: ExchangeFacts = { identity: { userId: "alice@example.org" }, address: "203.0.113.9" };
  const keys = (["subject", ["subject", "route"], ["route", "subject"]] as By[]).map(
    (by) => reservationOf(limitOf({ by }), alice).caller.key,
  );
  const tags = keys.map((key) => /^rl:orders:\{([\w-]{22})\}:/.exec(key)?.[1]);
  assert.equal(new Set(tags).size, 1);
  assert.equal(new Set(keys).size, 3);
  for (const key of keys) assert.ok(!/alice|example|203/.test(key), key);
  const anonymous = reservationOf(limitOf({ by: "subject" }), { address: "203.0.113.9" }).caller;
  assert.equal(anonymous.tag, reservationOf(limitOf({ by: "ip" }), { address: "203.0.113.9" }).caller.tag);
});

test("memory is bounded, whatever the number of addresses and the length of values", () => {
  const limit = limitOf({ by: "header:x" });
  for (let i = 0; i < 60_000; i += 1) reservationOf(limit, { fields: ["x", String(i)] });
  assert.equal(limit.table.size, 50_000);
  const long = partitionOf("header:x").value(exchangeOf({ fields: ["x", "a".repeat(100_000)] }));
  assert.ok(long.length < 64);
});

let redis: RedisServer;
let store: RedisStore;
before(async () => {
  redis = await startRedis();
  store = await connectStore(redis.url);
});
after(async () => {
  store.close();
  await redis.close();
});

for (const algorithm of ["gcra", "sliding", "fixed"] as const) {
  test(`${algorithm}: new numbers go on from what was used, in memory and in Redis`, async () => {
    const facts = { name: `grown-${algorithm}`, algorithm, window: "1h" } as const;
    const clock = new TestClock();
    const redisLedger = new RedisCounts(store, clock);
    const memoryLedger = new MemoryCounts(clock);
    for (const take of [
      async (limit: Limit): Promise<number> => {
        const reservation = reservationOf(limit);
        await redisLedger.take([reservation], 1000);
        return reservation.granted;
      },
      async (limit: Limit): Promise<number> => {
        const reservation = reservationOf(limit);
        memoryLedger.take([reservation], () => limit.table.rule);
        return reservation.granted;
      },
    ]) {
      const tables = new CallerTables("orders");
      const old = limitOf({ ...facts, limit: 4 }, tables);
      for (let i = 0; i < 3; i += 1) assert.equal(await take(old), 1);
      const grown = limitOf({ ...facts, limit: 6 }, tables);
      const seen = [];
      for (let i = 0; i < 5; i += 1) seen.push(await take(grown));
      assert.deepEqual(seen, [1, 1, 1, 0, 0]);
      const lowered = limitOf({ ...facts, limit: 2 }, tables);
      for (let i = 0; i < 3; i += 1) assert.equal(await take(lowered), 0, `request ${i}`);
      const restored = limitOf({ ...facts, limit: 6 }, tables);
      if (algorithm !== "gcra")
        assert.equal(await take(restored), 0, "what was used under other numbers is not forgotten");
      const otherMeaning = limitOf({ ...facts, limit: 6, by: "service" }, tables);
      assert.equal(await take(otherMeaning), 1);
    }
  });
}
