// The load of sidecars on a Redis that many services share: each distinct prefix of CLIENT TRACKING … BCAST costs work
// on every write of any client, so the number of prefixes must not grow with the number of services.
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { eventually, type RedisServer, startRedis } from "../support/redis.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

const policy = {
  apiVersion: "outrigger/v1",
  plugins: ["logging", "auth", "rate-limit", "cache"],
  pluginConfig: { auth: { required: false }, cache: { ttlSeconds: 60, respectOrigin: false } },
};

async function trackedPrefixes(redis: RedisServer): Promise<number> {
  return Number(/tracking_total_prefixes:(\d+)/u.exec(await redis.cli.info("stats"))?.[1]);
}

test("a second service adds no tracked prefix, and hears of its own purges only", async (t) => {
  const redis = await startRedis();
  t.after(() => redis.close());
  await redis.cli.set("outrigger:policy", JSON.stringify(policy));
  const upstream = http
    .createServer((_request, response) => void response.end("hello"))
    .listen(0, "127.0.0.1");
  t.after(() => upstream.close());
  await once(upstream, "listening");
  const start = async (service: string): Promise<TestSidecar> => {
    const sidecar = await startSidecar({
      redisUrl: redis.url,
      env: { OUTRIGGER_SERVICE: service },
      upstream: `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`,
    });
    t.after(() => sidecar.stop());
    await eventually("the watch holds", async () =>
      /outrigger_redis_watch_up\{[^}]*\} 1/u.test(await sidecar.metrics()),
    );
    return sidecar;
  };
  const alpha = await start("alpha");
  // policy, apikey:, and the scratch key.
  await eventually("all are tracked", async () => (await trackedPrefixes(redis)) === 3);
  await start("beta");
  const twin = await start("alpha");
  const channels = async (): Promise<string> =>
    ((await redis.cli.call("PUBSUB", "CHANNELS", "outrigger:*")) as string[]).toSorted().join(" ");
  await eventually(
    "a channel for each service, one for canaries and one for kill switches",
    async () =>
      (await channels()) ===
      "outrigger:cache:alpha:purges outrigger:cache:beta:purges outrigger:canary outrigger:disabled",
  );
  assert.equal(await trackedPrefixes(redis), 3);

  const state = async ({ port }: TestSidecar, method = "GET"): Promise<string | undefined> => {
    const headers = { host: "site.test" };
    const request = http.request({ port, host: "127.0.0.1", path: "/x", method, headers });
    request.end();
    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    response.resume();
    return response.headers["x-cache"]?.toString();
  };
  await eventually(
    "both have it",
    async () => (await state(alpha)) === "HIT" && (await state(twin)) === "HIT",
  );
  await state(alpha, "POST");
  await eventually(
    "the other one of the service has purged it",
    async () => (await state(twin)) !== "HIT",
    4_000,
  );
});
