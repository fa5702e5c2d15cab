// Watches on keys of one real server: which changes are reported, to whom, and that every loss is reported.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ConnectionStateChange } from "../../../src/redis/connection-state.ts";
import type { RedisStore } from "../../../src/redis/store.ts";
import { eventually, type RedisServer } from "../../support/redis.ts";
import { storesOf } from "../../support/redis-store.ts";

const { server, open } = storesOf("watch-test");

/** A watch that keeps what it is told. */
function watch(store: RedisStore, prefix: string): { told: (string | null)[]; stop: () => void } {
  const told: (string | null)[] = [];
  return { told, stop: store.watch(prefix, (key) => told.push(key)) };
}

/** Waits for the `null` with which a watch begins, and forgets it. */
async function begun(...watches: { told: (string | null)[] }[]): Promise<void> {
  for (const { told } of watches) {
    await eventually("the watch holds", () => told.includes(null));
    told.length = 0;
  }
}

/** Changes a watched key and waits until it is told: everything before it was told, too, or never will be. */
async function fence(redis: RedisServer, store: RedisStore): Promise<void> {
  const { told, stop } = watch(store, "policy:fence");
  await eventually("the fence holds", () => told.includes(null));
  await redis.cli.set("outrigger:policy:fence", "1");
  await eventually("the fence is told", () => told.includes("policy:fence"));
  stop();
}

test("set, delete, expiry and rename by any client are told, by the key without the global prefix", async () => {
  const redis = await server();
  const store = open(redis.url);
  const { told } = watch(store, "policy");
  await begun({ told });
  await redis.cli.set("outrigger:policy", "{}");
  await eventually("SET", () => told.join() === "policy");
  await redis.cli.set("outrigger:policy:users", "{}", "PX", 30);
  await eventually("expiry", () => told.filter((key) => key === "policy:users").length >= 2);
  told.length = 0;
  await redis.cli.del("outrigger:policy");
  await eventually("DEL", () => told.join() === "policy");
  told.length = 0;
  await redis.cli.set("elsewhere", "{}");
  await redis.cli.rename("elsewhere", "outrigger:policy,with\r\nodd signs");
  await eventually("RENAME", () => told.join("|") === "policy,with\r\nodd signs");
  told.length = 0;
  assert.equal(await store.set("policy", "ours"), true);
  await eventually("our own", () => told.join() === "policy");
});

test("several keys changed at once are told one by one", async () => {
  const redis = await server();
  const { told } = watch(open(redis.url), "policy");
  await begun({ told });
  await redis.cli.mset({ "outrigger:policy": "1", "outrigger:policy:a": "1", "outrigger:policy:b": "1" });
  await eventually("all three", () => told.length === 3);
  assert.deepEqual(new Set(told), new Set(["policy", "policy:a", "policy:b"]));
});

test("keys that nobody watches are not even sent", async () => {
  const redis = await server();
  const store = open(redis.url);
  const { told } = watch(store, "policy");
  await begun({ told });
  const sent = async (): Promise<number> =>
    Number(/total_net_output_bytes:(\d+)/u.exec(await redis.cli.info("stats"))?.[1]);
  const noise = Object.fromEntries(
    Array.from({ length: 1_000 }, (_, i) => [`outrigger:cache:users:${i}`, "1"]),
  );
  const before = await sent();
  await redis.cli.mset(noise);
  await fence(redis, store);
  assert.ok((await sent()) - before < 20_000, "a thousand keys would be more");
  assert.deepEqual(
    told.filter((key) => key !== null && key !== "policy:fence"),
    [],
  );
});

test("prefixes that overlap, repeat or come later each hear of their own keys", async () => {
  const redis = await server();
  const store = open(redis.url);
  const narrow = watch(store, "apikey:ab");
  await begun(narrow);
  const wide = watch(store, "apikey:");
  const same = watch(store, "apikey:ab");
  const other = watch(store, "policy");
  await begun(narrow, wide, same, other);
  await redis.cli.set("outrigger:apikey:abc", "1");
  await redis.cli.set("outrigger:apikey:xyz", "1");
  await redis.cli.set("outrigger:policy", "1");
  await eventually("told", () => other.told.includes("policy"));
  assert.deepEqual(
    [narrow, wide, same, other].map(({ told }) => told.filter((key) => key !== null)),
    [["apikey:abc"], ["apikey:abc", "apikey:xyz"], ["apikey:abc"], ["policy"]],
  );
});

test("a watch under a prefix that is heard already begins with its null, and disturbs nobody", async () => {
  const redis = await server();
  const store = open(redis.url);
  const first = watch(store, "policy");
  await begun(first);
  const second = watch(store, "policy:users");
  await begun(second);
  assert.deepEqual(first.told, []);
});

test("a channel that was announced is heard from when it is wanted, and disturbs nobody", async () => {
  const redis = await server();
  const store = open(redis.url, { channels: ["canary", "disabled"] });
  const first = watch(store, "policy");
  await begun(first);
  const told: (string | null)[] = [];
  const deafen = store.hear("canary", (key) => told.push(key));
  assert.ok(store.watching, "it goes on being told");
  await begun({ told });
  await redis.cli.publish("outrigger:canary", "");
  await eventually("told", () => told.join() === "canary");
  // One that was not comes to them.
  deafen();
  store.hear("purges", (key) => told.push(key));
  await begun({ told });
  await begun(first);
  store.hear("disabled", (key) => told.push(key));
  assert.ok(store.watching);
  await redis.cli.publish("outrigger:disabled", "");
  await eventually("told", () => told.includes("disabled"));
});

test("a stopped watch hears nothing more, and another one on the same prefix goes on", async () => {
  const redis = await server();
  const store = open(redis.url);
  const kept = watch(store, "policy");
  const stopped = watch(store, "policy");
  await begun(kept, stopped);
  stopped.stop();
  stopped.stop();
  await redis.cli.set("outrigger:policy", "1");
  await eventually("told", () => kept.told.includes("policy"));
  assert.deepEqual(stopped.told, []);
  kept.stop();
  const again = watch(store, "policy");
  await begun(again);
  await redis.cli.set("outrigger:policy", "2");
  await eventually("told again", () => again.told.includes("policy"));
});

test("the empty prefix hears of everything under the global one and of nothing else", async () => {
  const redis = await server();
  const { told } = watch(open(redis.url), "");
  await begun({ told });
  await redis.cli.mset({ foreign: "1", "outrigger:a": "1" });
  await redis.cli.set("outrigger:b", "1");
  await eventually("told", () => told.includes("b"));
  assert.deepEqual(told, ["a", "b"]);
});

test("FLUSHALL says that everything may have changed", async () => {
  const redis = await server();
  const { told } = watch(open(redis.url), "policy");
  await begun({ told });
  await redis.cli.flushall();
  await eventually("null", () => told.includes(null));
});

test("a listener that throws hurts nobody and is reported", async () => {
  const redis = await server();
  const errors: unknown[] = [];
  const store = open(redis.url, { onListenerError: (error) => errors.push(error) });
  store.watch("policy", () => {
    throw new Error("mine");
  });
  const { told } = watch(store, "policy");
  await begun({ told });
  await redis.cli.set("outrigger:policy", "1");
  await eventually("told", () => told.includes("policy"));
  assert.deepEqual(errors.map(String), ["Error: mine", "Error: mine"]);
});

test("after a killed connection and after a restart every watch gets null and goes on", async () => {
  const redis = await server();
  const states: ConnectionStateChange[] = [];
  const store = open(redis.url, { onState: (state) => void (state.of === "watches" && states.push(state)) });
  const policy = watch(store, "policy");
  const keys = watch(store, "apikey:");
  await begun(policy, keys);
  await redis.cli.call("CLIENT", "KILL", "TYPE", "pubsub");
  await begun(policy, keys);
  await redis.restart();
  await begun(policy, keys);
  await redis.cli.set("outrigger:policy", "1");
  await redis.cli.set("outrigger:apikey:1", "1");
  await eventually("told", () => policy.told.includes("policy") && keys.told.includes("apikey:1"));
  assert.deepEqual(
    states.map(({ up }) => up),
    [true, false, true, false, true],
  );
});

test("a half-open connection is found by its heartbeat, without any traffic", async () => {
  const redis = await server();
  const states: ConnectionStateChange[] = [];
  const store = open(redis.url, { onState: (state) => void (state.of === "watches" && states.push(state)) });
  const { told } = watch(store, "policy");
  await begun({ told });
  redis.freeze();
  await eventually("the loss is seen", () => states.at(-1)?.up === false, 6_000);
  assert.equal(states.at(-1)?.reason, "no answer in time");
  redis.thaw();
  await begun({ told });
});

test("a server that forbids tracking is asked again, and the commands are not affected", async () => {
  const redis = await server();
  await redis.cli.call("ACL", "SETUSER", "side", "on", ">car", "~*", "&*", "+@all", "-client|tracking");
  const states: ConnectionStateChange[] = [];
  const store = open(`redis://side:car@127.0.0.1:${redis.port}`, { onState: (state) => states.push(state) });
  const { told } = watch(store, "policy");
  await eventually("both are known", () => states.length === 2);
  assert.deepEqual(states.map(({ of, up, reason }) => `${of} ${up} ${reason}`).sort(), [
    "commands true ",
    "watches false Redis refuses CLIENT TRACKING (NOPERM): grant +client|tracking",
  ]);
  assert.equal(await store.set("k", "v"), true);
  assert.deepEqual(told, []);
  await redis.cli.call("ACL", "SETUSER", "side", "+client|tracking");
  await begun({ told });
  assert.equal(states.length, 3);
});

test("no change between the first null and the end is missed while prefixes come and go", async () => {
  const redis = await server();
  const store = open(redis.url);
  const seen = new Set<string>();
  let stale = true;
  store.watch("policy", (key) => {
    if (key === null) stale = true;
    else seen.add(key);
  });
  await eventually("the watch holds", () => stale);
  for (let round = 0; round < 50; round++) {
    stale = false;
    seen.clear();
    const stop = store.watch(`p${round}:`, () => {});
    await redis.cli.set(`outrigger:policy:${round}`, "1");
    await eventually("told, or said to be lost", () => seen.has(`policy:${round}`) || stale);
    stop();
  }
});

test("what somebody publishes in the name of Redis is not taken for a flush", async () => {
  const redis = await server();
  const store = open(redis.url);
  const keys = watch(store, "policy");
  await begun(keys);
  assert.equal(await redis.cli.publish("__redis__:invalidate", "x"), 1);
  await redis.cli.set("outrigger:policy", "1");
  await eventually("the change is told", () => keys.told.includes("policy"));
  assert.deepEqual(keys.told, ["policy"]);
});
