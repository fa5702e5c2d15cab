// Many log streams read as one, on a real Redis, standalone and in a Cluster.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Cluster, Redis } from "ioredis";
import { type LogEntry, LogStreams } from "../../../src/plane/log-streams.ts";
import { parseRedisAddress } from "../../../src/redis/address.ts";
import { createStore, type RedisStore } from "../../../src/redis/store.ts";
import { startCluster, startRedis } from "../../support/redis.ts";

interface Server {
  readonly url: string;
  readonly cli: Redis | Cluster;
  close(): Promise<void>;
}
const servers: readonly (readonly [string, () => Promise<Server>])[] = [
  ["alone", startRedis],
  ["in a Cluster", startCluster],
];

const every = (): boolean => true;
const idsOf = (entries: readonly LogEntry[]): string[] => entries.map(({ id }) => id);

for (const [where, start] of servers) {
  describe(`log streams, on Redis ${where}`, () => {
    let redis: Server;
    let store: RedisStore;
    const names = ["a", "b", "c"];
    const add = (service: string, id: string, line: string) =>
      redis.cli.xadd(`outrigger:logs:${service}`, id, "line", line);
    before(async () => {
      redis = await start();
      store = createStore({
        limitMs: 2_000,
        address: parseRedisAddress(redis.url),
        keyPrefix: "outrigger:",
        connectionName: "logs-test",
      });
      assert.ok(await store.whenUp(5_000));
      for (const name of names) await redis.cli.zadd("outrigger:fleet:seen", Date.now(), name);
      // Most in one stream, so that the others' pages end long before.
      for (let at = 1; at <= 1_500; at += 1) await add(at % 10 === 0 ? "b" : "a", `${at}-0`, String(at));
      await redis.cli.set("outrigger:logs:c", "no stream");
    });
    after(async () => {
      store.close();
      await redis.close();
    });

    test("the last ones, in order over all streams, whatever the pages", async () => {
      for (const count of [0, 1, 7, 600, 1_400, 9_999]) {
        const entries = await new LogStreams(store, undefined).last(count, every);
        const least = Math.max(1, 1_501 - count);
        assert.deepEqual(
          idsOf(entries),
          Array.from({ length: 1_501 - least }, (_, at) => `${least + at}-0`),
        );
      }
    });

    test("those that match are looked for further back", async () => {
      const entries = await new LogStreams(store, undefined).last(2, ({ line }) => Number(line) <= 25);
      assert.deepEqual(entries, [
        { service: "a", id: "24-0", line: "24" },
        { service: "a", id: "25-0", line: "25" },
      ]);
      const one = await new LogStreams(store, "b").last(2, every);
      assert.deepEqual(idsOf(one), ["1490-0", "1500-0"]);
    });

    test("what comes is told once, in order, also more of it than a page has", async () => {
      const streams = new LogStreams(store, undefined);
      await streams.last(0, every);
      assert.deepEqual(await streams.next(), []);
      const added: string[] = [];
      for (let at = 2_000; at < 3_300; at += 1) {
        added.push(`${at}-0`);
        await add(at % 3 === 0 ? "b" : "a", `${at}-0`, "x");
      }
      const told: string[] = [];
      for (;;) {
        const entries = await streams.next();
        if (entries.length === 0) break;
        told.push(...idsOf(entries));
      }
      assert.deepEqual(told, added);
    });
  });
}
