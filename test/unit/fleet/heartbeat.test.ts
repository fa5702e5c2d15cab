// The heartbeat on a real Redis: its content, its end, and how live sidecars are counted.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { contractVersion } from "../../../src/extensions/manifest.ts";
import { type Heartbeat, type HeartbeatSender, startHeartbeat } from "../../../src/fleet/heartbeat.ts";
import type { PolicyStatus } from "../../../src/policy/status.ts";
import { parseRedisAddress } from "../../../src/redis/address.ts";
import { type RedisStore, createStore } from "../../../src/redis/store.ts";
import { type RedisServer, eventually, startRedis } from "../../support/redis.ts";

const status: PolicyStatus = {
  effective: null,
  revision: 7,
  revisionFrom: "history",
  layerRevision: 3,
  digest: "d1",
  source: "redis",
  signed: "no",
  documents: { shared: "s1", layer: null },
  polledBecause: null,
  signatures: [],
  overruled: [{ path: "plugins", message: "drops" }],
  since: "2026-01-01T00:00:00.000Z",
  lastSuccess: null,
  lastError: {
    at: "2026-01-02T00:00:00.000Z",
    problems: [
      { path: "plugins[0]", message: "unknown plugin" },
      { path: "", message: "x" },
    ],
  },
};

describe("the heartbeat", () => {
  let redis: RedisServer;
  let store: RedisStore;
  const senders: HeartbeatSender[] = [];
  before(async () => {
    redis = await startRedis();
    store = createStore({
      limitMs: 2_000,
      address: parseRedisAddress(redis.url),
      keyPrefix: "outrigger:",
      connectionName: "heartbeat-test",
    });
    assert.ok(await store.whenUp(5000));
  });
  afterEach(async () => {
    await Promise.all(senders.splice(0).map((sender) => sender.stop()));
  });
  after(async () => {
    store.close();
    await redis.close();
  });

  function start(
    instance: string,
    options: {
      service?: string;
      everyMs?: number;
      expiryMs?: number;
      fullRateUpTo?: number;
      status?: () => PolicyStatus;
      onSize?: (size: number) => void;
      onNamesake?: (boot: string) => void;
    } = {},
  ) {
    const sender = startHeartbeat({
      store,
      service: "users",
      instance,
      version: "1.2.3",
      plugins: () => [{ name: "logging", version: "1.0.0" }],
      troubles: () => [["logging", "x".repeat(300)]],
      status: () => status,
      bypass: () => ({ state: "open", detail: "it listens at 0.0.0.0:1" }),
      clock: { now: () => 1_700_000_000_000 },
      everyMs: 50,
      ...options,
    });
    senders.push(sender);
    return sender;
  }
  const valueOf = async (instance: string): Promise<Heartbeat | undefined> => {
    const value = await redis.cli.get(`outrigger:fleet:users:${instance}`);
    return value === null ? undefined : (JSON.parse(value) as Heartbeat);
  };

  test("says what is in force and what was refused, and expires", async () => {
    const sender = start("one");
    await eventually("the first beat", async () => (await valueOf("one")) !== undefined);
    const { upSeconds, inForceAt, refusedAt, seenAt, boot, ...said } = (await valueOf("one")) as Heartbeat;
    assert.match(boot, new RegExp(`^[^/]+/${process.pid}/[0-9a-f]{16}$`));
    const [seconds, micros] = await redis.cli.time();
    const redisNow = Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
    assert.ok(upSeconds >= 0 && redisNow - seenAt >= 0 && redisNow - seenAt < 5_000);
    // Ages by the sidecar's clock, taken off Redis': this sidecar's clock stands years before that of its policy.
    assert.deepEqual([inForceAt, refusedAt], [seenAt, seenAt]);
    assert.deepEqual(said, {
      service: "users",
      instance: "one",
      region: null,
      version: "1.2.3",
      contract: contractVersion,
      plugins: { logging: "1.0.0" },
      troubles: { logging: "x".repeat(200) },
      revision: 7,
      revisionFrom: "history",
      layerRevision: 3,
      digest: "d1",
      documents: { shared: "s1", layer: null },
      source: "redis",
      since: "2026-01-01T00:00:00.000Z",
      lastError: {
        at: "2026-01-02T00:00:00.000Z",
        count: 2,
        first: "plugins[0] unknown plugin",
        problems: ["plugins[0]: unknown plugin", "x"],
      },
      overruled: { count: 1, first: "plugins drops", problems: ["plugins: drops"] },
      disabled: [],
      canary: null,
      bypass: { state: "open", detail: "it listens at 0.0.0.0:1" },
      namesake: null,
      at: "2023-11-14T22:13:20.000Z",
    });
    const ttlMs = await redis.cli.pttl("outrigger:fleet:users:one");
    assert.ok(ttlMs > 10_000 && ttlMs <= 15_000, String(ttlMs));
    await sender.stop();
    assert.equal(await valueOf("one"), undefined);
  });

  test("counts the living siblings; who stopped or died is not among them", async () => {
    const [a, b] = [start("a"), start("b")];
    const dead = start("dead", { everyMs: 600_000, expiryMs: 200 });
    await eventually("three alive", () => a.size() === 3 && b.size() === 3);
    assert.ok(dead.size() >= 1);
    // Expiry is each sidecar's own: the others forget after theirs.
    const c = start("c", { expiryMs: 200 });
    await eventually("the silent one is forgotten", () => c.size() === 3);
    await b.stop();
    await eventually("the stopped one is gone", () => c.size() === 2);
    await c.stop();
    await a.stop();
  });

  test("two of one name tell of each other, once; who stays is there, alone", async () => {
    const told: string[] = [];
    const twin = { expiryMs: 2_000, onNamesake: (boot: string) => told.push(boot) };
    const first = start("twin", twin);
    await eventually("the first beat", async () => (await valueOf("twin"))?.namesake === null);
    const boot = (await valueOf("twin"))?.boot ?? "";
    const second = start("twin", twin);
    const tells = async (of: (value: Heartbeat) => boolean) => {
      const value = await valueOf("twin");
      return value !== undefined && of(value);
    };
    await eventually("the first tells", () => tells((value) => value.boot === boot && !!value.namesake));
    await eventually("the second tells", () => tells((value) => value.namesake === boot));
    await eventually("both were told", () => told.length === 2);
    await eventually("each counts the other", () => first.size() === 2 && second.size() === 2);
    await second.stop();
    assert.notEqual(await valueOf("twin"), undefined);
    assert.notEqual(await redis.cli.zscore("outrigger:live:users", "twin"), null);
    await eventually("it is over", () => tells((value) => value.boot === boot && value.namesake === null));
    await eventually("it counts itself alone", () => first.size() === 1);
    assert.deepEqual([told.length, new Set(told).size, told.includes(boot)], [2, 2, true]);
    await first.stop();
    assert.equal(await valueOf("twin"), undefined);
  });

  test("after a restart nobody is told, whatever version it was; a living one of an older version is", async () => {
    const told: string[] = [];
    const older = (seenAt: number): string => `{"version":"0.0.9","seenAt":${seenAt}}`;
    for (const dead of ["restarted", "upgraded"]) {
      const seenAt = Date.now() + 3_600_000;
      const value = `${older(seenAt).slice(0, -1)},"boot":"host/1/0123456789abcdef"}`;
      await redis.cli.set(`outrigger:fleet:users:${dead}`, dead === "upgraded" ? older(seenAt) : value);
      const sender = start(dead, { onNamesake: (boot) => told.push(boot) });
      const times = new Set<number>();
      await eventually("several beats", async () => {
        const now: Partial<Heartbeat> | undefined = await valueOf(dead);
        assert.equal(now?.namesake ?? null, null);
        if (now?.boot?.includes(`/${process.pid}/`) === true) times.add(now.seenAt ?? 0);
        return times.size >= 4;
      });
      assert.deepEqual(told, []);
      if (dead === "restarted") await sender.stop();
    }
    await redis.cli.set("outrigger:fleet:users:upgraded", older(Date.now() + 60_000));
    await eventually("it is told", async () => (await valueOf("upgraded"))?.namesake === "");
    assert.deepEqual(told, [""]);
  });

  test("is rarer in a large fleet, of whatever services, and its key lives longer", async () => {
    await redis.cli.flushall();
    const first = start("m1", { fullRateUpTo: 2 });
    await eventually("the first beat", async () => (await valueOf("m1")) !== undefined);
    start("m2", { service: "orders" });
    start("m3", { service: "billing" });
    await eventually("all are counted", async () => (await redis.cli.zcard("outrigger:fleet:all")) === 3);
    const sizes: number[] = [];
    // Four of three services: twice as many as beat at the full rate.
    const last = start("m4", { fullRateUpTo: 2, everyMs: 150_000, onSize: (size) => sizes.push(size) });
    await eventually("its key lives twice as long", async () => {
      const ttlMs = await redis.cli.pttl("outrigger:fleet:users:m4");
      return ttlMs > 25_000 && ttlMs <= 30_000;
    });
    await eventually("both of the service count each other", () => first.size() === 2 && last.size() === 2);
    assert.deepEqual(sizes, [2]);
    const seenAt = (await valueOf("m4"))?.seenAt ?? Infinity;
    last.trigger();
    await eventually("a change is told at once", async () => ((await valueOf("m4"))?.seenAt ?? 0) > seenAt);
  });

  test("lists itself anew when Redis was emptied", async () => {
    start("listed");
    await eventually(
      "listed",
      async () => (await redis.cli.zscore("outrigger:fleet:seen", "users")) !== null,
    );
    await redis.cli.flushall();
    await eventually(
      "listed again",
      async () => (await redis.cli.zscore("outrigger:fleet:seen", "users")) !== null,
      4_000,
    );
  });

  test("tells soon when it is told to, and keeps the last count while Redis is away", async () => {
    let revision = 1;
    const sender = start("three", { everyMs: 600_000, status: () => ({ ...status, revision }) });
    await eventually("the first beat", async () => (await valueOf("three"))?.revision === 1);
    const size = sender.size();
    revision = 2;
    sender.trigger();
    await eventually("the second beat", async () => (await valueOf("three"))?.revision === 2);
    await redis.kill();
    sender.trigger();
    await eventually("Redis is known to be away", () => !store.up);
    assert.equal(sender.size(), size);
    await redis.restart();
    await eventually("Redis is back", () => store.up);
    sender.trigger();
    await eventually("the third beat", async () => (await valueOf("three")) !== undefined);
  });
});
