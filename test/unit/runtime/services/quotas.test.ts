// How much of shared resources a plugin may use: commands of the store, lines of the log, series of metrics.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Services } from "../../../../src/plugin-api/services.ts";
import { type HostServices, ScopedServices } from "../../../../src/runtime/scoped-services.ts";
import { createHttpClient } from "../../../../src/runtime/services/http/client.ts";
import { builtInQuotas, type Quotas } from "../../../../src/runtime/services/quotas.ts";
import { createMetrics } from "../../../../src/telemetry/metrics.ts";
import { TestClock } from "../../../../src/testing/clock.ts";
import { storesOf } from "../../../support/redis-store.ts";

const { server, open } = storesOf("quotas");

interface Scene {
  readonly services: Services;
  readonly clock: TestClock;
  readonly lines: string[];
  readonly metrics: () => Promise<string>;
}

function sceneOf(quotas: Partial<Quotas>, parts: Partial<HostServices> = {}): Scene {
  const clock = new TestClock();
  const metrics = createMetrics({ service: "shop" });
  const lines: string[] = [];
  const write = (fields: Record<string, unknown>, message: string): void =>
    void lines.push(`${message} ${JSON.stringify(fields)}`);
  const host: HostServices = {
    logger: { debug: write, info: write, warn: write, error: write },
    accessLog: { write: (line) => void lines.push(line) },
    metrics,
    store: undefined,
    secrets: { get: () => undefined, sentTo: () => "" },
    http: createHttpClient,
    clock,
    fleet: { service: "shop", instance: "shop-1", size: () => 1 },
    ...parts,
  };
  const scoped = new ScopedServices({ name: "geo" }, host, [], { ...builtInQuotas, ...quotas });
  return { services: scoped.common, clock, lines, metrics: () => metrics.render() };
}

const refusals = (quota: string, count: number): RegExp =>
  new RegExp(
    `^outrigger_plugin_quota_refusals_total\\{service="shop",plugin="geo",quota="${quota}"\\} ${count}$`,
    "m",
  );

test("commands of the store: so many a second, and as many saved up", async () => {
  const redis = await server();
  const store = open(redis.url);
  await store.whenUp(5_000);
  const { services, clock, metrics } = sceneOf({ storeCommandsPerSecond: 10 }, { store });
  const own = services.store as NonNullable<Services["store"]>;
  const script = { name: "one", lua: "return 1" };
  const call = { script, keys: ["p:shop:geo:a"], args: [] };
  for (let i = 0; i < 5; i += 1) await own.set("p:shop:geo:a", "1");
  await own.runAll([call, call, call, call]);
  await own.delete("p:shop:geo:b");
  const over = {
    name: "QuotaExceeded",
    quota: "store_commands",
    message: 'plugin "geo" is over its quota of 10 commands of the store a second (store_commands)',
  };
  await assert.rejects(own.get("p:shop:geo:a"), over);
  await assert.rejects(own.delete("p:shop:geo:a"), over);
  await assert.rejects(own.runAll([call]), over);
  await assert.rejects(own.scan("p:shop:geo:", 10), over);
  // What is not its own is not its own, whatever it has left.
  await assert.rejects(own.get("apikey:x"), { name: "NotDeclared" });
  clock.advance(100);
  assert.equal(await own.get("p:shop:geo:a"), "1");
  await assert.rejects(own.get("p:shop:geo:a"), over);
  clock.advance(60_000);
  await own.runAll(Array.from({ length: 10 }, () => call));
  await assert.rejects(own.get("p:shop:geo:a"), over);
  // Work that is more than a command counts as more.
  for (const work of [
    () => own.scan("p:shop:geo:", 1),
    () => own.set("p:shop:geo:a", "x".repeat(9 * 4_096)),
    () => own.append("p:shop:geo:s", { a: "x".repeat(9 * 4_096) }, 10),
    () => own.delete(...Array.from({ length: 10 }, (_, index) => `p:shop:geo:${index}`)),
  ]) {
    clock.advance(60_000);
    await work();
    await assert.rejects(own.get("p:shop:geo:a"), over);
  }
  assert.match(await metrics(), refusals("store_commands", 10));
});

test("lines of the log: more are dropped and counted, which is told once", async () => {
  const { services, clock, lines, metrics } = sceneOf({ logLinesPerSecond: 10 });
  const { logger, accessLog } = services;
  for (let i = 0; i < 500; i += 1) logger.info({ i }, "flood");
  accessLog.write("access");
  assert.equal(lines.length, 11);
  assert.match(lines[10] ?? "", /logs more than its quota.*"plugin":"geo","linesPerSecond":10/);
  assert.match(await metrics(), refusals("log_lines", 491));
  clock.advance(1_000);
  for (let i = 0; i < 20; i += 1) logger.error({}, "again");
  assert.equal(lines.length, 21);
  clock.advance(60_000);
  for (let i = 0; i < 20; i += 1) logger.warn({}, "later");
  assert.equal(lines.length, 32);
});

test("series of metrics: further ones count as other, further families nowhere", async () => {
  const { services, metrics } = sceneOf({ metricSeries: 3 });
  const family = services.metrics.counter("outrigger_geo_total", "Its own", ["who"]);
  for (const who of ["a", "b", "c", "d", "e", "a"]) family(who).inc();
  services.metrics.gauge("outrigger_geo_gauge", "Its own")().set(1);
  services.metrics.histogram("outrigger_geo_seconds", "Its own")().observe(1);
  services.metrics.counter("outrigger_geo_more_total", "Its own")().inc();
  const text = await metrics();
  assert.match(text, /^outrigger_geo_total\{service="shop",who="a"\} 2$/m);
  assert.match(text, /^outrigger_geo_total\{service="shop",who="other"\} 2$/m);
  assert.doesNotMatch(text, /who="d"|outrigger_geo_more_total/);
  assert.match(text, refusals("metric_series", 5));
  assert.throws(() => services.metrics.counter("outrigger_auth_total", "Not its own"), {
    name: "NotDeclared",
  });
});

test("a plugin of the repository has none of these", async () => {
  const { services, lines, metrics } = sceneOf({});
  for (let i = 0; i < 1_000; i += 1) services.logger.info({}, "line");
  const family = services.metrics.counter("outrigger_geo_total", "Its own", ["who"]);
  for (let i = 0; i < 900; i += 1) family(String(i)).inc();
  assert.equal(lines.length, 1_000);
  assert.doesNotMatch(await metrics(), /who="other"|quota_refusals/);
});
