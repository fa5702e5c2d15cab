// Redis is killed, frozen, slow, failed over, without its scripts, or holds foreign data: what callers get each time.
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { CallerTables } from "../../../plugins/rate-limit/limit.ts";
import { Leases } from "../../../plugins/rate-limit/counting/leases.ts";
import { Limiter, type Decision } from "../../../plugins/rate-limit/limiter.ts";
import { MemoryCounts } from "../../../plugins/rate-limit/counting/memory-counts.ts";
import { RedisCounts } from "../../../plugins/rate-limit/counting/redis-counts.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import type { Clock } from "../../../src/plugin-api/contract.ts";
import type { RedisStore } from "../../../src/redis/store.ts";
import { exchangeOf } from "../../support/exchange.ts";
import { connectStore, limitOf, TestClock } from "../../support/rate-limit.ts";
import { eventually, startRedis, startSentinel, type RedisServer } from "../../support/redis.ts";
import { startSidecar, type TestSidecar } from "../../support/sidecar.ts";
import { cpuMs } from "../../support/cpu.ts";

type Behaviour = "local" | "open" | "closed";

/** The deciding part of the plugin before a real store, without a proxy around it. */
async function limiterOf(
  t: TestContext,
  url: string,
  facts: Parameters<typeof limitOf>[0],
  onStoreError: Behaviour = "local",
  sidecars = 1,
  clock: Clock = systemClock,
): Promise<{ check: () => Decision | Promise<Decision>; store: RedisStore }> {
  const store = await connectStore(url);
  t.after(() => store.close());
  const redis = new RedisCounts(store, clock);
  const limiter = new Limiter({
    clock,
    memory: new MemoryCounts(clock),
    shared: { store, redis, leases: new Leases(redis, clock) },
    sidecars: () => sidecars,
    onStoreError,
    storeTimeoutMs: 100,
  });
  const limits = [limitOf(facts, new CallerTables("orders"))];
  return { check: () => limiter.check(exchangeOf(), limits), store };
}

async function redisOf(t: TestContext): Promise<RedisServer> {
  const redis = await startRedis();
  t.after(() => redis.close());
  return redis;
}

/** How many of so many requests, one after the other, pass. */
async function passing(check: () => Decision | Promise<Decision>, count: number): Promise<number> {
  let passed = 0;
  for (let i = 0; i < count; i += 1) if ((await check()).error === undefined) passed += 1;
  return passed;
}

const down = (store: RedisStore): Promise<void> => eventually("the store is down", () => !store.up);
const up = (store: RedisStore): Promise<void> => eventually("the store is up", () => store.up);

for (const mode of ["exact", "leased"] as const) {
  test(`${mode}: Redis killed: this sidecar's share at once, and coming back causes no burst`, async (t) => {
    const redis = await redisOf(t);
    const facts = { limit: 12, window: "1h", algorithm: "fixed", mode } as const;
    const { check, store } = await limiterOf(t, redis.url, facts, "local", 3);
    assert.equal(await passing(check, 5), 5);
    await redis.kill();
    await down(store);
    const startedAt = cpuMs();
    const decisions = Array.from({ length: 1000 }, check);
    assert.ok(
      decisions.every((decision) => !(decision instanceof Promise)),
      "nothing waits",
    );
    assert.ok(cpuMs() - startedAt < 1000, "far less than 1 ms each");
    // A third of the twelve, less a third of the five that were used already.
    assert.equal((decisions as Decision[]).filter(({ error }) => error === undefined).length, 2);
    await redis.restart();
    await up(store);
    // The server came back empty: it knows of the five and of this sidecar's two because it was told.
    assert.equal(await passing(check, 20), 5);
  });
}

test("open lets everything through, closed answers 503 and never 429", async (t) => {
  const redis = await redisOf(t);
  const facts = { limit: 2, window: "1h", mode: "exact" } as const;
  const open = await limiterOf(t, redis.url, facts, "open");
  const closed = await limiterOf(t, redis.url, facts, "closed");
  assert.equal(await passing(open.check, 3), 2);
  await redis.kill();
  await Promise.all([down(open.store), down(closed.store)]);
  assert.equal(await passing(open.check, 10), 10);
  const { error } = await closed.check();
  assert.equal(error?.code, "dependency_unavailable");
  assert.equal(error?.kind.status, 503);
});

test("Redis frozen: the first requests wait for the time limit, the others not at all; thawed, it counts again", async (t) => {
  const redis = await redisOf(t);
  const { check, store } = await limiterOf(t, redis.url, { limit: 50, window: "1h", mode: "exact" });
  assert.equal(await passing(check, 10), 10);
  redis.freeze();
  const startedAt = performance.now();
  const first: Promise<Decision>[] = [];
  while (store.up) {
    first.push(Promise.resolve(check()));
    await new Promise((resolve) => setImmediate(resolve));
    if (first.length > 20) await Promise.race(first);
  }
  assert.ok((await Promise.all(first)).every((decision) => decision instanceof Object));
  assert.ok(performance.now() - startedAt < 10_000);
  assert.ok(!(check() instanceof Promise));
  redis.thaw();
  await up(store);
  const { bindingLimit, error } = await check();
  assert.ok(
    error !== undefined || (bindingLimit?.remaining ?? 99) < 40,
    "what was used before and meanwhile counts",
  );
});

test("Redis slow: within the time limit its word counts, beyond it the fallback answers", async (t) => {
  const redis = await redisOf(t);
  const { check } = await limiterOf(t, redis.url, { limit: 3, window: "1h", mode: "exact" });
  await redis.cli.call("CLIENT", "PAUSE", "40", "ALL");
  assert.equal(await passing(check, 2), 2);
  await redis.cli.call("CLIENT", "PAUSE", "4000", "ALL");
  const startedAt = performance.now();
  assert.equal((await check()).error, undefined);
  const tookMs = performance.now() - startedAt;
  assert.ok(tookMs >= 90 && tookMs < 3_000, `${tookMs} ms`);
});

test("a Sentinel failover: callers get 200 or 429 throughout, and the count goes on", async (t) => {
  const group = await startSentinel();
  t.after(() => group.close());
  const { check, store } = await limiterOf(
    t,
    group.url,
    { limit: 30, window: "1h", mode: "exact" },
    "closed",
  );
  assert.equal(await passing(check, 10), 10);
  const master = await group.master();
  await eventually("the replica has the count", async () => {
    const facts = await master.cli.info("replication");
    const [, ours] = /master_repl_offset:(\d+)/.exec(facts) ?? [];
    return facts.includes(`offset=${ours},`);
  });
  await group.failover();
  // Until then the old master takes writes, which its turn into a replica throws away.
  await eventually("the old master is a replica", async () =>
    (await master.cli.info("replication")).includes("role:slave"),
  );
  await up(store);
  const seen: number[] = [];
  for (let i = 0; i < 60; i += 1) {
    const { error } = await check();
    if (error?.code !== "dependency_unavailable") seen.push(error === undefined ? 200 : error.kind.status);
  }
  assert.equal(seen.filter((status) => status === 200).length, 20);
});

test("a flushed script, a key of another type and garbage neither fail, nor pass freely, nor lock out", async (t) => {
  const redis = await redisOf(t);
  const clock = new TestClock();
  const facts = { limit: 4, window: "1h", mode: "exact" } as const;
  const { check } = await limiterOf(t, redis.url, facts, "closed", 1, clock);
  assert.equal(await passing(check, 2), 2);
  await redis.cli.call("SCRIPT", "FLUSH");
  assert.equal(await passing(check, 1), 1);
  const [key] = (await redis.cli.keys("*rl:*")) as [string];
  for (const spoil of [
    () => redis.cli.lpush(key, "x"),
    () => redis.cli.set(key, "nan inf -1"),
    () => redis.cli.set(key, Buffer.alloc(1000, 255)),
    () => redis.cli.hset(key, "a", "b"),
  ]) {
    await redis.cli.del(key);
    await spoil();
    assert.equal(await passing(check, 6), 4, "begins anew, once");
    // Refusals are remembered for a second; the next round must ask.
    clock.advance(1001);
  }
});

test("a sidecar goes on through an outage, with the share of a fleet of two", async (t) => {
  const redis = await redisOf(t);
  const start = (index: number): Promise<TestSidecar> =>
    startSidecar({
      policy: {
        plugins: ["rate-limit"],
        pluginConfig: {
          "rate-limit": { limits: [{ name: "l", by: "ip", limit: 10, window: "1h", mode: "exact" }] },
        },
      },
      upstream: (_request, response) => response.end("ok"),
      redisUrl: redis.url,
      env: { OUTRIGGER_INSTANCE: `s${index}` },
    });
  const first = await start(0);
  t.after(() => first.stop());
  const alive = (count: number) => async (): Promise<boolean> =>
    (await redis.cli.zcard("outrigger:live:default")) === count;
  await eventually("the first is seen alive", alive(1));
  const second = await start(1);
  t.after(() => second.stop());
  await eventually("the second is, too", alive(2));
  // Its answer comes after that to the heartbeat, which says how many there are.
  assert.equal((await fetch(second.url)).status, 200);
  await redis.kill();
  await eventually("the sidecar knows", async () =>
    /^outrigger_redis_up\{.*\} 0$/m.test(await second.metrics()),
  );
  const statuses = [];
  for (let i = 0; i < 12; i += 1) statuses.push((await fetch(second.url)).status);
  // Half of the ten, less half of the one that was used.
  assert.deepEqual(statuses, [200, 200, 200, 200, 429, 429, 429, 429, 429, 429, 429, 429]);
});

for (const mode of ["exact", "leased"] as const) {
  test(`${mode}: a caller who has used his burst gets no second one from an outage, nor after it`, async (t) => {
    const redis = await redisOf(t);
    const clock = new TestClock();
    const facts = { limit: 600, window: "1m", mode } as const;
    const { check, store } = await limiterOf(t, redis.url, facts, "local", 4, clock);
    assert.ok((await passing(check, 700)) >= 600);
    await redis.kill();
    await down(store);
    assert.ok((await passing(check, 100)) <= 1, "nothing is left of the share");
    clock.advance(6_000);
    const meanwhile = await passing(check, 300);
    assert.ok(meanwhile >= 10 && meanwhile <= 16, `${meanwhile} of a quarter of what six seconds bring`);
    await redis.restart();
    await up(store);
    const after = await passing(check, 700);
    assert.ok(
      after >= 30 && after <= 70,
      `${after}: what the other three left, and what the test's own time brings`,
    );
  });
}

for (const [code, refuseWrites] of [
  [
    "OOM",
    (redis: RedisServer) => redis.cli.config("SET", "maxmemory", "1", "maxmemory-policy", "noeviction"),
  ],
  ["READONLY", (redis: RedisServer) => redis.cli.replicaof("127.0.0.1", "1")],
] as const) {
  test(`a Redis that answers ${code} to writes is told of, and the limit holds by the share`, async (t) => {
    const redis = await redisOf(t);
    const limits = [{ name: "l", by: "ip", limit: 5, window: "1h", mode: "exact" }];
    const sidecar = await startSidecar({
      policy: { plugins: ["rate-limit"], pluginConfig: { "rate-limit": { limits } } },
      upstream: (_request, response) => response.end("ok"),
      redisUrl: redis.url,
    });
    t.after(() => sidecar.stop());
    const ask = async (): Promise<number> => (await fetch(sidecar.url)).status;
    assert.deepEqual([await ask(), await ask()], [200, 200]);
    assert.match(await sidecar.metrics(), /outrigger_redis_writable\{[^}]*\} 1/);
    await refuseWrites(redis);
    assert.deepEqual([await ask(), await ask(), await ask(), await ask()], [200, 200, 200, 429]);
    const line = await sidecar.line(({ msg }) => String(msg).startsWith("Redis: refuses writes"));
    assert.equal(line["reason"], code);
    assert.equal(sidecar.lines.filter(({ msg }) => msg === line["msg"]).length, 1, "once");
    const metrics = await sidecar.metrics();
    assert.match(metrics, /outrigger_redis_writable\{[^}]*\} 0/);
    assert.match(metrics, /outrigger_rate_limit_local_total\{[^}]*limit="l"[^}]*\} 4/);
    const ready = await fetch(`${sidecar.adminUrl}/readyz?verbose`);
    assert.equal(ready.status, 200, "it can serve");
    // A replica without its master is soon left for good.
    assert.match(await ready.text(), new RegExp(`refuses writes: ${code}|redis: down`));
  });
}
