// A Redis that gives wrong answers or forbids commands: no wait is endless, missing rights are named, and watches are
// trusted only once they have been proven.
import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import { parseRedisAddress } from "../../../src/redis/address.ts";
import type { ConnectionStateChange } from "../../../src/redis/connection-state.ts";
import { createStore, type RedisStore } from "../../../src/redis/store.ts";
import { type Lie, type LyingRedis, startLyingRedis } from "../../support/lying-redis.ts";
import { eventually, type RedisServer, startRedis } from "../../support/redis.ts";

const closing: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

interface Watched {
  readonly redis: RedisServer;
  readonly store: RedisStore;
  readonly told: (string | null)[];
  readonly states: ConnectionStateChange[];
}

async function server(): Promise<RedisServer> {
  const redis = await startRedis();
  closing.push(() => redis.close());
  return redis;
}

function watched(redis: RedisServer, url: string): Watched {
  const states: ConnectionStateChange[] = [];
  const store = createStore({
    address: parseRedisAddress(url),
    keyPrefix: "outrigger:",
    connectionName: "lies-test",
    onState: (state) => states.push(state),
  });
  closing.push(() => store.close());
  const told: (string | null)[] = [];
  store.watch("policy", (key) => told.push(key));
  return { redis, store, told, states };
}

async function lying(lies: Lie[] = []): Promise<Watched & { proxy: LyingRedis }> {
  const redis = await server();
  const proxy = await startLyingRedis(redis.port, lies);
  closing.push(() => proxy.close());
  return { ...watched(redis, proxy.url), proxy };
}

async function tells({ redis, told }: Watched): Promise<void> {
  told.length = 0;
  await redis.cli.set("outrigger:policy", "{}");
  await eventually("told", () => told.includes("policy"), 4_000);
}

for (const [what, lie] of [
  ["an empty array", { reply: "*0\r\n" }],
  ["null", { reply: "$-1\r\n" }],
  ["a number", { reply: ":1\r\n" }],
  ["the name of another channel", { reply: "*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n" }],
  ["nothing", { drop: true }],
  ["half an answer", { truncateAt: 7 }],
  ["a reset", { close: true }],
] as const) {
  test(`${what} in answer to SUBSCRIBE delays the watch and does not end it`, async () => {
    const all = await lying([{ command: "SUBSCRIBE", times: 2, ...lie }]);
    await eventually("the watch holds", () => all.store.watching, 10_000);
    await tells(all);
    assert.equal(all.store.unheardBecause, undefined);
  });
}

test("a subscription that delivers nothing is found out, said and made anew", async () => {
  const all = await lying();
  await eventually("the watch holds", () => all.store.watching);
  all.proxy.muted = true;
  await eventually("found out", () => !all.store.watching, 8_000);
  assert.equal(all.store.up, true);
  assert.equal(all.store.unheardBecause, "change messages do not come");
  all.proxy.muted = false;
  await eventually("the watch holds again", () => all.store.watching);
  await tells(all);
});

test("two sidecars' scratch keys prove each other's watches: most of the time one of them writes", async () => {
  const redis = await server();
  const all = [watched(redis, redis.url), watched(redis, redis.url), watched(redis, redis.url)];
  await eventually("all hold", () => all.every(({ store }) => store.watching));
  const writes = async (): Promise<number> =>
    Number(/cmdstat_pexpire:calls=(\d+)/u.exec(await redis.cli.info("commandstats"))?.[1]);
  const before = await writes();
  await eventually("six writes", async () => (await writes()) >= before + 6);
  assert.ok(all.every(({ store }) => store.watching));
});

describe("a user who may not", () => {
  for (const [right, reason] of [
    ["-client|tracking", "Redis refuses CLIENT TRACKING (NOPERM): grant +client|tracking"],
    ["-client|id", "Redis refuses CLIENT ID (NOPERM): grant +client|id"],
    ["-subscribe", "Redis refuses SUBSCRIBE (NOPERM): grant +subscribe and &__redis__:invalidate"],
    ["resetchannels", "Redis refuses SUBSCRIBE (NOPERM): grant +subscribe and &__redis__:invalidate"],
    ["-pexpire", "Redis refuses PEXPIRE (NOPERM): grant +set +pexpire ~outrigger:scratch*"],
  ] as const) {
    test(`${right}: the missing right is named, and calls are answered`, async () => {
      const redis = await server();
      await redis.cli.call("ACL", "SETUSER", "side", "on", ">car", "~*", "&*", "+@all", right);
      const all = watched(redis, `redis://side:car@127.0.0.1:${redis.port}`);
      await eventually("named", () => all.store.unheardBecause === reason);
      assert.equal(all.store.watching, false);
      assert.equal(await all.store.set("k", "v"), true);
    });
  }

  test("-info: it connects, and says what that costs", async () => {
    const redis = await server();
    await redis.cli.call("ACL", "SETUSER", "side", "on", ">car", "~*", "&*", "+@all", "-info");
    const all = watched(redis, `redis://side:car@127.0.0.1:${redis.port}`);
    await eventually("the watch holds", () => all.store.watching);
    const { reason } = all.states.find(({ of }) => of === "commands") as ConnectionStateChange;
    assert.match(reason, /^Redis refuses INFO \(NOPERM\): grant \+info/);
  });
});

test("a Redis without INFO at all is connected to", async () => {
  const all = await lying([{ command: "INFO", reply: "-ERR unknown command 'INFO'\r\n" }]);
  await eventually("the watch holds", () => all.store.watching);
  assert.equal(await all.store.set("k", "v"), true);
});
