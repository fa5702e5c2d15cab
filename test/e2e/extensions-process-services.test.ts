// The cache and the database for plugins that run in a process of their own.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { PluginDefinition } from "outrigger/plugin";
import { startSidecar, type TestSidecar } from "outrigger/plugin/testing";
import type { Extension } from "../../src/extensions/entry.ts";
import { createProcessPlugin } from "../../src/runtime/process/plugin.ts";
import { Transactions } from "../../src/runtime/process/transactions.ts";
import { PostgresDatabase } from "../../src/runtime/services/database/database.ts";
import { createTrustedPlugin } from "../../src/runtime/trusted/plugin.ts";
import { createMetrics } from "../../src/telemetry/metrics.ts";
import { TestClock } from "../../src/testing/clock.ts";
import { bundleExtension, pluginCode } from "../support/extensions.ts";
import { bundledPluginProcess } from "../support/plugin-process.ts";
import { childrenOf, type PostgresServer, startPostgres } from "../support/postgres.ts";
import { eventually, type RedisServer, startRedis } from "../support/redis.ts";

let program: string;
let postgres: PostgresServer;
let redis: RedisServer;
let watcher: PostgresDatabase;
before(async () => {
  [program, postgres, redis] = await Promise.all([bundledPluginProcess(), startPostgres(), startRedis()]);
  watcher = new PostgresDatabase({
    plugin: "watcher",
    secret: "SECRET_GEO_DB",
    url: () => postgres.url,
    maxConnections: 1,
    maxWaiting: 5,
    metrics: createMetrics({ service: "test" }),
    clock: new TestClock(),
  });
});
after(() => {
  watcher.close();
  return Promise.all([postgres.close(), redis.close()]);
});

const setup = `
  setup({ services: { cache, db } }) {
    let loads = 0;
    const tried = (work) => work().then((value) => value ?? null, (error) => error.message);
    return {
      async onRequest({ request }) {
        const load = async () => ({ loads: (loads += 1) });
        const value = () => cache.getOrLoad("k", load, { ttlMs: 60_000 });
        const values = ["geo", 7, new Date(0), Buffer.from([255]), 2n ** 60n, null, [1, 2]];
        const types = ["text", "int", "timestamptz", "bytea", "bigint", "text", "int[]"];
        const columns = types.map((type, i) => "$" + (i + 1) + "::" + type + " AS c" + i).join(", ");
        const told = {
          cached: await Promise.all([value(), value()]),
          row: (await db.query("SELECT " + columns, values)).rows[0],
          wrong: await tried(() => db.query("SELECT 'secret'::int")),
          many: await tried(() => db.query("SELECT generate_series(1, 5)", [], { maxRows: 4 })),
        };
        if (request.path === "/forget") await cache.delete("k");
        return { action: "respond", status: 200, fields: [], body: JSON.stringify(told) };
      },
    };
  }`;

test("a plugin in a process of its own has a cache and asks a database", async () => {
  const extension = bundleExtension({
    code: pluginCode(setup),
    manifest: { needs: { database: "SECRET_GEO_DB" } },
    entry: { runtime: "process", limits: { timeMs: 5_000 } },
  });
  await using sidecar = await startSidecar({
    plugins: [createProcessPlugin(extension, program)],
    policy: { plugins: ["geo"] },
    redisUrl: redis.url,
    secrets: { SECRET_GEO_DB: postgres.url },
    upstream: () => {},
  });
  const ask = async (path: string): Promise<Record<string, unknown>> =>
    (await (await fetch(sidecar.url + path)).json()) as Record<string, unknown>;
  const told = await ask("/");
  assert.deepEqual(told, {
    cached: [{ loads: 1 }, { loads: 1 }],
    row: {
      c0: "geo",
      c1: 7,
      c2: "1970-01-01T00:00:00.000Z",
      c3: "\\xff",
      c4: "1152921504606846976",
      c5: null,
      c6: [1, 2],
    },
    wrong: "database: invalid text representation (SQLSTATE 22P02)",
    many: "database: the query has more than 4 rows",
  });
  const [key] = await redis.cli.keys("outrigger:p:*:geo:cache:k");
  assert.ok(key);
  assert.deepEqual((await ask("/forget"))["cached"], [{ loads: 1 }, { loads: 1 }]);
  await eventually("it is gone from Redis", async () => (await redis.cli.exists(key)) === 0);
  assert.deepEqual((await ask("/"))["cached"], [{ loads: 2 }, { loads: 2 }]);
  const counted = async (result: string): Promise<number> => {
    const metrics = await (await fetch(`${sidecar.adminUrl}/metrics`)).text();
    const series = new RegExp(
      `^outrigger_plugin_cache_requests_total\\{.*result="${result}".*\\} (\\d+)$`,
      "m",
    );
    return Number(series.exec(metrics)?.[1] ?? 0);
  };
  await eventually("its cache is counted as any plugin's", async () => {
    const [load, shared, memory] = await Promise.all(["load", "shared", "memory"].map(counted));
    return load === 2 && Number(shared) + Number(memory) === 4;
  });
});

const transactions = `
  setup({ services: { db } }) {
    const told = (work, options) =>
      db.transaction(work, options).then(
        (value) => value ?? null,
        ({ message, reason, code, constraint }) => [message, reason, code, constraint].filter(Boolean),
      );
    const put = (in_, id) => in_.query("INSERT INTO visits VALUES ($1)", [id]);
    const forever = () => new Promise(() => {});
    const aborted = (id) => {
      const caller = new AbortController();
      const work = async (in_) => {
        await put(in_, id);
        caller.abort();
        await forever();
      };
      return told(work, { signal: caller.signal });
    };
    const works = {
      "/committed": () => told(async (in_) => {
        await put(in_, 1);
        return (await in_.query("SELECT count(*)::int AS n FROM visits")).rows[0];
      }),
      "/in-turn": () => told(async (in_) => {
        await in_.query("CREATE TEMPORARY SEQUENCE turn");
        const next = () => in_.query("SELECT nextval('turn')::int AS n, pg_sleep($1::float)", [0.01]);
        return (await Promise.all([next(), next(), next()])).map(({ rows }) => rows[0].n);
      }),
      "/rejected": () => told(async (in_) => {
        await put(in_, 2);
        throw new Error("not today");
      }),
      "/swallowed": () => told(async (in_) => {
        await put(in_, 3);
        await put(in_, 1).catch(() => {});
      }),
      "/violated": () => told(async (in_) => {
        await put(in_, 4);
        await put(in_, 1);
      }),
      "/many": () => told((in_) => in_.query("SELECT generate_series(1, 5)", [], { maxRows: 4 })),
      "/read-only": () => told((in_) => put(in_, 5), { readOnly: true }),
      "/left": async () => {
        let left;
        await told(async (in_) => (left = in_));
        return await left.query("SELECT 1").catch(({ message, reason }) => [message, reason]);
      },
      "/late": () => told(async (in_) => {
        await put(in_, 6);
        await forever();
      }, { timeoutMs: 100 }),
      "/slow": async () => (await told((in_) => in_.query("SELECT pg_sleep(60)"), { timeoutMs: 200 }))[1],
      "/aborted": () => aborted(7),
      "/aborted-together": async () => {
        await Promise.all(Array.from({ length: 15 }, (_, i) => aborted(10 + i)));
        return await told((in_) => in_.query("SELECT 1 AS n").then(({ rows }) => rows));
      },
      "/busy": async () => {
        let others;
        const end = await told(async (in_) => {
          const { rows } = await in_.query("SELECT 1 AS n");
          others = Array.from({ length: 64 }, () => db.query("SELECT pg_sleep(0.01)"));
          return rows;
        });
        await Promise.all(others);
        return end;
      },
      "/late-together": async () => {
        await Promise.all(Array.from({ length: 5 }, () => told(forever, { timeoutMs: 50 })));
        return await told((in_) => put(in_, 8));
      },
      "/many-at-once": async () => {
        const all = await Promise.all(Array.from({ length: 70 }, () => told((in_) => in_.query("SELECT 1"))));
        return all.filter(Array.isArray);
      },
      "/open": () => new Promise((resolve) => {
        told(async (in_) => {
          await put(in_, 9);
          resolve(null);
          await forever();
        }, { timeoutMs: 30_000 });
      }),
    };
    return {
      async onRequest({ request }) {
        return { action: "respond", status: 200, body: JSON.stringify(await works[request.path]()) };
      },
    };
  }`;

async function startWithVisits(make: (extension: Extension) => PluginDefinition): Promise<TestSidecar> {
  await watcher.query("DROP TABLE IF EXISTS visits");
  await watcher.query("CREATE TABLE visits (id int PRIMARY KEY)");
  const extension = bundleExtension({
    code: pluginCode(transactions, { needs: { database: "SECRET_GEO_DB" } }),
    manifest: { needs: { database: "SECRET_GEO_DB" } },
    entry: { limits: { timeMs: 5_000 } },
  });
  return await startSidecar({
    plugins: [make(extension)],
    policy: { plugins: ["geo"] },
    secrets: { SECRET_GEO_DB: postgres.url },
    upstream: () => {},
  });
}

const told = async ({ url }: TestSidecar, path: string): Promise<unknown> =>
  await (await fetch(url + path)).json();

async function visits(): Promise<unknown[]> {
  const { rows } = await watcher.query("SELECT id FROM visits ORDER BY id");
  return rows.map(({ id }) => id);
}

/** Of the plugin to its database. */
async function connections(state: string): Promise<number> {
  const { rows } = await watcher.query(
    "SELECT FROM pg_stat_activity WHERE application_name = 'outrigger-geo' AND state LIKE $1",
    [state],
  );
  return rows.length;
}

describe("a transaction of a plugin", () => {
  const runtimes: Readonly<Record<string, (extension: Extension) => PluginDefinition>> = {
    process: (extension) => createProcessPlugin(extension, program),
    trusted: createTrustedPlugin,
  };
  const over = "database: the call was ended by its caller, or with its plugin";
  for (const [runtime, make] of Object.entries(runtimes)) {
    test(`is done whole or not at all: ${runtime}`, async () => {
      await using sidecar = await startWithVisits(make);
      const violated = "database: unique violation (SQLSTATE 23505), constraint visits_pkey";
      const expected = {
        "/committed": { n: 1 },
        "/in-turn": [1, 2, 3],
        "/rejected": ["not today"],
        "/swallowed": ["database: the transaction was rolled back: a query in it failed", "refused"],
        "/violated": [violated, "refused", "23505", "visits_pkey"],
        "/many": ["database: the query has more than 4 rows", "too_large"],
        "/read-only": [
          "database: a read-only transaction cannot do that (SQLSTATE 25006)",
          "refused",
          "25006",
        ],
        "/left": ["database: the transaction is over", "refused"],
        "/late": ["database: no result within 100 ms", "timeout"],
        "/slow": "timeout",
        "/aborted": [over, "aborted"],
        "/aborted-together": [{ n: 1 }],
        "/busy": [{ n: 1 }],
      };
      const found: Record<string, unknown> = {};
      for (const path of Object.keys(expected)) found[path] = await told(sidecar, path);
      assert.deepEqual(found, expected);
      assert.deepEqual(await visits(), [1]);
      assert.equal(await connections("idle in transaction%"), 0);

      assert.equal(await told(sidecar, "/open"), null);
      assert.equal(await connections("idle in transaction"), 1);
      assert.deepEqual(await told(sidecar, "/late-together"), [
        "database: not asked: the last calls failed one after the other",
        "breaker_open",
      ]);
      await sidecar[Symbol.asyncDispose]();
      await eventually("its connections are closed", async () => (await connections("%")) === 0);
      assert.deepEqual(await visits(), [1]);
    });
  }

  test("ends with the process that has it, and there are few of them at once", async () => {
    const before = childrenOf(process.pid);
    await using sidecar = await startWithVisits((extension) => createProcessPlugin(extension, program));
    const tooMany = ["more than 64 transactions of this plugin are under way"];
    const started = childrenOf(process.pid).filter((pid) => !before.includes(pid));
    assert.deepEqual(
      await told(sidecar, "/many-at-once"),
      Array.from({ length: 6 }, () => tooMany),
    );
    assert.equal(await told(sidecar, "/open"), null);
    assert.equal(await connections("idle in transaction"), 1);
    assert.equal(started.length, 1);
    process.kill(started[0] as number, "SIGKILL");
    await eventually("it is rolled back", async () => (await connections("idle in transaction")) === 0);
    await eventually("it serves again", async () => (await fetch(`${sidecar.url}/committed`)).status === 200);
    assert.deepEqual(await visits(), [1]);
  });

  test("has each of its steps once, whatever its process says", async () => {
    const ofProcess = new Transactions(watcher);
    const whole = ofProcess.run(1, {});
    await assert.rejects(() => ofProcess.query(1, "SELECT 1", [], {}), /the transaction is not begun/);
    await assert.rejects(() => ofProcess.run(1, {}), /the number of another one/);
    await ofProcess.begun(1);
    assert.throws(() => ofProcess.begun(1), /waited for already/);
    ofProcess.end(1, "commit");
    assert.throws(() => ofProcess.end(1, "rollback"), /the transaction is over/);
    await assert.rejects(() => ofProcess.query(1, "SELECT 1", [], {}), /the transaction is over/);
    await whole;
    assert.throws(() => ofProcess.begun(1), /the transaction is over/);

    const unknown = ofProcess.run(2, {});
    ofProcess.end(2, { how: "commit" });
    await assert.rejects(unknown, { name: "DatabaseError", reason: "aborted" });

    const left = ofProcess.run(3, {});
    await ofProcess.begun(3);
    ofProcess.close();
    await assert.rejects(left, { name: "DatabaseError", reason: "aborted" });
    await assert.rejects(() => ofProcess.run(4, {}), /its process is gone/);
    assert.equal((await watcher.query("SELECT 1")).rowCount, 1);
  });
});
