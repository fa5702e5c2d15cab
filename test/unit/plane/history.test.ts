// Policy documents and their history on a real Redis, standalone and in a Cluster: nothing is lost, forked or half
// written.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Cluster, Redis } from "ioredis";
import { changeDocument } from "../../../src/plane/change-script.ts";
import { ChangeConflict, PolicyHistory } from "../../../src/plane/history.ts";
import { digestOf } from "../../../src/policy/document/digest.ts";
import { parseRedisAddress } from "../../../src/redis/address.ts";
import { createStore, type RedisStore } from "../../../src/redis/store.ts";
import { startCluster, startRedis } from "../../support/redis.ts";

const document = (mark: string): Buffer => Buffer.from(JSON.stringify({ apiVersion: "outrigger/v1", mark }));

interface Server {
  readonly url: string;
  readonly cli: Redis | Cluster;
  close(): Promise<void>;
}

const servers: readonly (readonly [string, () => Promise<Server>])[] = [
  ["alone", startRedis],
  ["in a Cluster", startCluster],
];

for (const [where, start] of servers) {
  describe(`the history, on Redis ${where}`, () => {
    let redis: Server;
    const stores: RedisStore[] = [];
    const open = async (): Promise<PolicyHistory> => {
      const store = createStore({
        limitMs: 2_000,
        address: parseRedisAddress(redis.url),
        keyPrefix: "outrigger:",
        connectionName: "plane-test",
      });
      stores.push(store);
      assert.ok(await store.whenUp(5_000));
      return new PolicyHistory(store, "outrigger:");
    };
    let history: PolicyHistory;
    before(async () => {
      redis = await start();
      history = await open();
    });
    after(async () => {
      for (const store of stores) store.close();
      await redis.close();
    });
    const apply = (
      of: PolicyHistory,
      service: string | undefined,
      mark: string,
      base: number,
      author = "ada",
    ) => of.change(service, { document: document(mark), kind: "apply", author, reason: "why", base });

    test("a change is at the plain key, with a line that says who, when and why", async () => {
      const written = await apply(history, "first", "a", 0);
      assert.deepEqual([written.revision, written.unchanged], [1, false]);
      assert.equal(await redis.cli.get("outrigger:policy:first"), document("a").toString());
      const [revision] = await history.list("first");
      assert.deepEqual(revision, {
        revision: 1,
        kind: "apply",
        at: new Date(written.atMs).toISOString(),
        author: "ada",
        reason: "why",
        digest: digestOf(document("a")),
        base: 0,
        bytes: document("a").length,
        deleted: false,
        signedEpoch: null,
        reporter: null,
      });
      assert.equal((await history.find("first", 1))?.document, document("a").toString());
      assert.equal(await history.find("first", 2), undefined);
      const again = await apply(history, "first", "a", 1);
      assert.deepEqual([again.revision, again.unchanged], [1, true]);
    });

    test("no document of an epoch is written after one of a higher epoch", async () => {
      const change = (base: number, mark: string, signedEpoch?: number) =>
        history.change("signed", {
          document: document(mark),
          kind: "apply",
          author: "ada",
          reason: "",
          base,
          signedEpoch,
        });
      await change(0, "a", 7);
      await change(1, "unsigned");
      for (const epoch of [6, 7]) await assert.rejects(change(2, "b", epoch), /one of epoch 7 was applied/);
      await redis.cli.del(`outrigger:applied:signed${where === "alone" ? "" : "{outrigger:policy:signed}"}`);
      await assert.rejects(change(2, "b", 7), /one of epoch 7 was applied/);
      assert.equal((await change(2, "b", 8)).revision, 3);
      const epochs = (await history.list("signed")).map(({ signedEpoch }) => signedEpoch);
      assert.deepEqual(epochs, [8, null, 7]);
    });

    test("the loser of two is told who changed what and when", async () => {
      await apply(history, "two", "a", 0);
      await apply(history, "two", "b", 1, "eve");
      await assert.rejects(apply(history, "two", "c", 1), (error) => {
        assert.ok(error instanceof ChangeConflict);
        const { revision, author, reason, at } = error.head ?? {};
        assert.deepEqual([revision, author, reason], [2, "eve", "why"]);
        assert.ok(Math.abs(Date.parse(at ?? "") - Date.now()) < 60_000);
        return true;
      });
      assert.equal(await redis.cli.get("outrigger:policy:two"), document("b").toString());
    });

    test("four operators, 250 changes each at once: no gap, no fork", async () => {
      const operators = await Promise.all(
        ["ada", "bob", "cyd", "dan"].map(async (name) => [name, await open()] as const),
      );
      let conflicts = 0;
      await Promise.all(
        operators.map(async ([name, own]) => {
          for (let made = 0; made < 250;) {
            const { revision } = await own.current("many", name);
            try {
              const written = await apply(own, "many", `${name}-${made}`, revision, name);
              assert.equal(written.revision, revision + 1);
              made++;
            } catch (error) {
              if (!(error instanceof ChangeConflict)) throw error;
              conflicts++;
            }
          }
        }),
      );
      assert.ok(conflicts > 0, "they were never in each other's way");
      const revisions = await history.list("many");
      assert.equal(revisions.length, 200);
      assert.deepEqual(
        revisions.map(({ revision, base }) => [revision, base]),
        Array.from({ length: 200 }, (_, index) => [1000 - index, 999 - index]),
      );
      assert.equal(revisions[0]?.digest, (await history.peek("many")).digest);
    });

    test("what is SET or deleted by hand gets its line, once, however many look", async () => {
      await apply(history, "hand", "a", 0);
      await redis.cli.set("outrigger:policy:hand", document("b"));
      assert.equal((await history.peek("hand")).recorded, false);
      const seen = await Promise.all(Array.from({ length: 8 }, () => history.current("hand", "ada")));
      assert.deepEqual(new Set(seen.map(({ revision }) => revision)), new Set([2]));
      await redis.cli.del("outrigger:policy:hand");
      assert.equal((await history.current("hand", "ada")).revision, 3);
      const lines = (await history.list("hand")).map(({ revision, kind, deleted }) => [
        revision,
        kind,
        deleted,
      ]);
      assert.deepEqual(lines, [
        [3, "direct", true],
        [2, "direct", false],
        [1, "apply", false],
      ]);
    });

    test("a change by hand between reading and writing is a conflict, and in the history", async () => {
      await apply(history, "between", "a", 0);
      await redis.cli.set("outrigger:policy:between", document("b"));
      await assert.rejects(apply(history, "between", "c", 1), ChangeConflict);
      assert.deepEqual(
        (await history.list("between")).map(({ kind }) => kind),
        ["direct", "apply"],
      );
      assert.equal(await redis.cli.get("outrigger:policy:between"), document("b").toString());
    });

    test("what was kept in short is made again from the history, and numbers never fall", async () => {
      await apply(history, "mend", "a", 0);
      const keys = where === "alone" ? "" : "{outrigger:policy:mend}";
      await redis.cli.del(`outrigger:applied:mend${keys}`);
      assert.equal((await history.current("mend", "ada")).revision, 1);
      assert.equal((await apply(history, "mend", "b", 1)).revision, 2);
      await redis.cli.del(`outrigger:applied:mend${keys}`);
      await redis.cli.del(`outrigger:history:mend${keys}`);
      assert.equal((await history.current("mend", "ada")).revision, 3);
    });

    test("what sidecars say they saw beats no operator to it, and drives out nothing", async () => {
      await apply(history, "told", "a", 0);
      let told = 0;
      const report = async (count: number, text = ""): Promise<void> => {
        const entries = Array.from({ length: count }, () => {
          const value = { document: `${++told}${text}`, reporter: "orders/o1", atMs: told };
          return [`policy:told/${told}`, JSON.stringify(value)];
        });
        await redis.cli.hset("outrigger:direct", Object.fromEntries(entries));
      };
      for (let round = 0; round < 3; round += 1) {
        await report(30);
        assert.equal((await history.current("told", "ada")).revision, 1);
      }
      const before = await history.list("told");
      assert.equal(before.length, 33);
      assert.deepEqual([before.at(-1)?.revision, before[0]?.reporter], [1, "orders/o1"]);
      // Between an operator's reading and writing.
      await report(1, "x".repeat(2 * 1024 * 1024));
      const { revision } = await apply(history, "told", "b", 1);
      await history.current("told", "ada");
      const [long, own] = await history.list("told");
      assert.deepEqual([own?.revision, own?.base, long?.bytes], [revision, 1, 0]);
      // What was kept in short is made again from what a command wrote.
      await redis.cli.del(`outrigger:applied:told${where === "alone" ? "" : "{outrigger:policy:told}"}`);
      assert.equal((await history.current("told", "ada")).revision, revision);
    });

    test("a key of theirs that holds something else, or far too much, keeps nobody from a change", async () => {
      await redis.cli.zadd("outrigger:direct", 1, "policy:odd/1");
      assert.equal(
        (await apply(history, "odd", "a", (await history.current("odd", "ada")).revision)).revision,
        1,
      );
      const many = Array.from({ length: 5_000 }, (_, i) => [
        `policy:odd/${i}`,
        '{"document":"","reporter":"","atMs":0}',
      ]);
      await redis.cli.hset("outrigger:direct", Object.fromEntries(many));
      assert.equal((await history.current("odd", "ada")).revision, 1);
      assert.equal((await history.list("odd")).length, 1);
      await redis.cli.hset("outrigger:direct", "policy:odd/huge", Buffer.alloc(9 * 1024 * 1024, " "));
      assert.equal((await history.current("odd", "ada")).revision, 1);
      assert.equal(await redis.cli.exists("outrigger:direct"), 0);
    });

    test("bytes are bounded, too: the oldest go", async () => {
      const [store] = stores as [RedisStore];
      const tag = where === "alone" ? "" : "{outrigger:policy:bytes}";
      const keys = ["policy:bytes", `history:bytes${tag}`, `epoch:bytes${tag}`, `applied:bytes${tag}`];
      for (let base = 0; base < 10; base++) {
        const text = String(base).repeat(1_000);
        const facts = ["apply", digestOf(text), "ada", "", `id${base}`, "", "", 200, 4_500];
        const reply = await store.run(changeDocument, keys, ["write", base, "", text, ...facts]);
        assert.equal((reply as unknown[])[0], "ok");
      }
      assert.deepEqual(
        (await history.list("bytes")).map(({ revision }) => revision),
        [10, 9, 8, 7],
      );
    });

    test("a document too long to be kept has its line without it", async () => {
      await redis.cli.set("outrigger:policy:long", Buffer.alloc(5 * 1024 * 1024, "x"));
      const { revision } = await history.current("long", "ada");
      assert.equal(revision, 1);
      assert.equal((await history.current("long", "ada")).revision, 1);
      assert.match((await history.list("long"))[0]?.reason ?? "", /too long/);
    });
  });
}
