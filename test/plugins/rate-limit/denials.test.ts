// Requests that Redis has just denied are denied here without asking again, and no others.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startRedis, type RedisServer } from "../../support/redis.ts";
import { startSidecar } from "../../support/sidecar.ts";

let redis: RedisServer;
before(async () => {
  redis = await startRedis();
});
after(() => redis.close());

const ok = { upstream: (_: unknown, response: { end(text: string): unknown }) => response.end("ok") };

const routeOf = (path: string, limits: readonly object[]) => ({
  path,
  plugins: ["rate-limit"],
  pluginConfig: { "rate-limit": { limits } },
});

test("a refusal names the limits that are over, and no other is counted as refusing", async (t) => {
  const limits = [
    { name: "wide", by: "ip", limit: 100, window: "1h", algorithm: "fixed" },
    { name: "narrow", by: "ip", limit: 1, window: "1h", algorithm: "fixed" },
    { name: "day", by: "ip", limit: 1000, window: "1d", algorithm: "fixed" },
  ];
  const sidecar = await startSidecar({
    ...ok,
    redisUrl: redis.url,
    policy: { routes: [routeOf("/*", limits)] },
  });
  t.after(() => sidecar.stop());
  await (await fetch(sidecar.url)).text();
  for (const _ of ["by Redis", "by memory"]) {
    const refused = (await (await fetch(sidecar.url)).json()) as Record<string, unknown>;
    assert.deepEqual(refused["violated-policies"], ["narrow"]);
  }
  const refusing = /^outrigger_rate_limit_total\{.*limit="(\w+)",result="refused"\} [1-9]/gm;
  assert.deepEqual(
    [...(await sidecar.metrics()).matchAll(refusing)].map(([, name]) => name),
    ["narrow"],
  );
});

test("what costs less than what was refused still gets the permits that are left", async (t) => {
  const limit = { name: "shared", by: "ip", limit: 10, window: "1d", algorithm: "fixed", mode: "exact" };
  const routes = [routeOf("/dear", [{ ...limit, cost: 6 }]), routeOf("/*", [limit])];
  const sidecar = await startSidecar({ ...ok, redisUrl: redis.url, policy: { routes } });
  t.after(() => sidecar.stop());
  const statuses: number[] = [];
  for (const path of ["/dear", "/dear", "/cheap", "/dear"]) {
    const answer = await fetch(sidecar.url + path);
    await answer.text();
    statuses.push(answer.status);
  }
  assert.deepEqual(statuses, [200, 429, 200, 429]);
});
