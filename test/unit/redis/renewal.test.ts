// A store that moves to another address: through Sentinel, in a Cluster, and between kinds of Redis.
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { parseRedisAddress } from "../../../src/redis/address.ts";
import { createRenewableStore, type RenewableStore } from "../../../src/redis/renewable-store.ts";
import type { ConnectionStateChange } from "../../../src/redis/connection-state.ts";
import { createStore } from "../../../src/redis/store.ts";
import {
  eventually,
  type RedisServer,
  startCluster,
  startRedis,
  startSentinel,
} from "../../support/redis.ts";

interface Opened {
  readonly store: RenewableStore;
  readonly events: string[];
  readonly states: ConnectionStateChange[];
  readonly told: (string | null)[];
}

/** Opened, up, and watching `policy`. */
async function open(t: TestContext, url: string): Promise<Opened> {
  const [events, states, told]: [string[], ConnectionStateChange[], (string | null)[]] = [[], [], []];
  const store = createRenewableStore({
    address: parseRedisAddress(url),
    open: (address, onState) =>
      createStore({ address, keyPrefix: "outrigger:", connectionName: "renewal-test", onState }),
    onState: (state) => states.push(state),
    onRenewed: () => events.push("renewed"),
    onUnproven: (reason) => events.push(reason),
    onClosed: () => events.push("closed"),
  });
  t.after(() => store.close());
  store.watch("policy", (key) => told.push(key));
  assert.equal(await store.whenUp(5_000), true);
  await eventually("the watch begins", () => store.watching);
  return { store, events, states, told };
}

async function addUser({ cli }: RedisServer): Promise<void> {
  await cli.call("ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all");
}

function asUser(url: string): string {
  return url.replace("//", "//app:secret@");
}

/** Goes over to the address while calls are made all the time. */
async function goOver({ store, events, told }: Opened, url: string): Promise<void> {
  events.length = 0;
  const over = new AbortController();
  const calls = (async () => {
    for (let i = 0; !over.signal.aborted; i++) await store.set(`k${i % 50}`, "1");
  })();
  calls.catch(() => {}); // told below
  store.renew(parseRedisAddress(url));
  await eventually("the new connections are used", () => events.includes("renewed"));
  over.abort();
  await calls;
  assert.equal(store.watching, true);
  told.length = 0;
  await store.set("policy", "1");
  await eventually("a change is told", () => told.includes("policy"));
}

test("a Cluster with another user, and from it to a single server", async (t) => {
  const cluster = await startCluster();
  t.after(() => cluster.close());
  const single = await startRedis();
  t.after(() => single.close());
  for (const node of [...cluster.nodes, single]) await addUser(node);
  const opened = await open(t, cluster.url);
  await goOver(opened, asUser(cluster.url));
  for (const node of cluster.nodes) {
    await eventually("no connection of the old user is left", async () => {
      const clients = String(await node.cli.call("CLIENT", "LIST"));
      return !/name=renewal-test.* user=default/u.test(clients);
    });
  }
  await goOver(opened, asUser(single.url));
  assert.equal(opened.store.sharded, false);
  assert.equal(await single.cli.get("outrigger:policy"), "1");
});

test("the group behind sentinels with another user", async (t) => {
  const group = await startSentinel();
  t.after(() => group.close());
  await addUser(await group.master());
  const opened = await open(t, group.url);
  await goOver(opened, asUser(group.url));
  assert.equal(await opened.store.get("policy"), "1");
});

test("an address that does not serve changes nothing; the one in use ends the attempt", async (t) => {
  const redis = await startRedis();
  t.after(() => redis.close());
  const opened = await open(t, redis.url);
  opened.states.length = 0;
  opened.store.renew(parseRedisAddress(asUser(redis.url)));
  await eventually("told", () => opened.events.length > 0);
  assert.deepEqual(opened.events, ["WRONGPASS"]);
  assert.equal(await opened.store.set("k", "1"), true);
  opened.store.renew(parseRedisAddress(redis.url));
  await addUser(redis);
  await goOver(opened, asUser(redis.url));
  assert.deepEqual(opened.states, []);
  opened.store.close();
  await assert.rejects(opened.store.get("k"));
});

test("a Redis that is away is left for one that answers, and whoever waits is told", async (t) => {
  const [gone, other] = [await startRedis(), await startRedis()];
  t.after(() => gone.close());
  t.after(() => other.close());
  const opened = await open(t, gone.url);
  await gone.kill();
  await eventually("down", () => !opened.store.up);
  opened.store.renew(parseRedisAddress(other.url));
  await eventually("up", () => opened.store.up);
  assert.equal(await opened.store.whenUp(1), true);
  assert.deepEqual(
    opened.states.filter(({ of }) => of === "commands").map(({ up }) => up),
    [true, false, true],
  );
});
