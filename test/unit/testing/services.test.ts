// The services that the test kit gives a plugin: the sidecar's own, on real servers.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { definePlugin, type PluginDefinition, z } from "outrigger/plugin";
import { exchangeOf, problemsOf, setUpPlugin, startSidecar } from "outrigger/plugin/testing";
import { EndpointServer } from "../../support/endpoint-server.ts";
import { type PostgresServer, startPostgres } from "../../support/postgres.ts";
import { type RedisServer, startRedis } from "../../support/redis.ts";

let redis: RedisServer;
let postgres: PostgresServer;
let places: EndpointServer;
before(async () => {
  places = new EndpointServer((_request, response) => response.end("Bern"));
  [redis, postgres] = await Promise.all([startRedis(), startPostgres(), places.listen()]);
});
after(async () => {
  places.close();
  await Promise.all([redis.close(), postgres.close()]);
});

/** Says where a client is, asked once; counts it in Redis; has the number of visits from a database. */
const geoOf = (url: string): PluginDefinition =>
  definePlugin({
    name: "geo",
    version: "1.0.0",
    apiVersion: 1,
    priority: 31,
    security: false,
    failMode: "closed",
    options: z.strictObject({}),
    needs: { hosts: [new URL(url).host], database: "SECRET_GEO_DB" },
    setup({ services: { http, cache, db, store, fleet } }) {
      const place = async (signal: AbortSignal): Promise<string> => {
        const answer = await http.request({ url, timeoutMs: 2_000, maxBodyBytes: 100, signal });
        return answer.body.toString();
      };
      return {
        async onRequest({ client }) {
          const where = await cache.getOrLoad(client.address, place, { ttlMs: 60_000 });
          const { rows } = await db.query("SELECT $1 || '!' AS said", [where ?? ""]);
          await store?.set(`p:${fleet.service}:geo:last`, client.address);
          return { action: "respond", status: 200, fields: [], body: String(rows[0]?.["said"]) };
        },
      };
    },
  });

test("a plugin on one route has a client, a cache, a database and a store", async () => {
  const geo = geoOf(places.url);
  assert.deepEqual(problemsOf(geo), []);
  const facts = { redisUrl: redis.url, secrets: { SECRET_GEO_DB: postgres.url } };
  const asked = places.asked;
  {
    await using plugin = await setUpPlugin(geo, facts);
    for (let i = 0; i < 2; i += 1) {
      const verdict = await plugin.hooks.onRequest?.(exchangeOf({ address: "192.0.2.1" }));
      assert.equal(verdict?.action === "respond" && verdict.body, "Bern!");
    }
    assert.equal(places.asked, asked + 1);
    assert.equal(await plugin.services.cache.get("192.0.2.1"), "Bern");
    assert.equal(await plugin.services.store?.get("p:test:geo:last"), "192.0.2.1");
    assert.match(
      await plugin.metrics(),
      /outrigger_plugin_http_requests_total\{.*plugin="geo".*result="2xx"\} 1/,
    );
    assert.equal(await redis.cli.exists("outrigger:p:test:geo:last"), 1);
  }
  await assert.rejects(setUpPlugin(geo, { redisUrl: redis.url }), /OUTRIGGER_SECRET_GEO_DB.*is not set/);
  await assert.rejects(setUpPlugin(geo, { secrets: { SECRET_GEO_DB: "postgres://h" } }), /cannot be used/);
});

test("and in a sidecar, which refuses its policy without the database's URL", async () => {
  const parts = {
    plugins: [geoOf(places.url)],
    policy: { plugins: ["geo"] },
    redisUrl: redis.url,
    upstream: () => {},
  };
  {
    await using sidecar = await startSidecar({ ...parts, secrets: { SECRET_GEO_DB: postgres.url } });
    const answer = await fetch(sidecar.url);
    assert.deepEqual([answer.status, await answer.text()], [200, "Bern!"]);
    assert.match(
      await sidecar.metrics(),
      /outrigger_plugin_db_queries_total\{.*plugin="geo",result="ok"\} 1/,
    );
  }
  await using without = await startSidecar(parts);
  await without.line((each) => JSON.stringify(each).includes("OUTRIGGER_SECRET_GEO_DB"));
  assert.equal((await fetch(without.url)).status, 503);
});
