// The cache and the database of plugins in a process of their own.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startSidecar } from "outrigger/plugin/testing";
import { createProcessPlugin } from "../../src/runtime/process/plugin.ts";
import { bundleExtension, pluginCode } from "../support/extensions.ts";
import { bundledPluginProcess } from "../support/plugin-process.ts";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";
import { eventually, type RedisServer, startRedis } from "../support/redis.ts";

let program: string;
let postgres: PostgresServer;
let redis: RedisServer;
before(async () => {
  [program, postgres, redis] = await Promise.all([bundledPluginProcess(), startPostgres(), startRedis()]);
});
after(() => Promise.all([postgres.close(), redis.close()]));

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
          transaction: await tried(() => db.transaction(async () => 1)),
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
    transaction: "services.db.transaction is not there for plugins in a process of their own",
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
