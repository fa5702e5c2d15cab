// Several sidecars on one Redis, at twice the limit: how many requests the fleet admits. OUTRIGGER_TEST_LONG=1 runs it
// for 10 s.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Pool } from "undici";
import { startRedis, type RedisServer } from "../../support/redis.ts";
import { startSidecar, type TestSidecar } from "../../support/sidecar.ts";

const forMs = process.env["OUTRIGGER_TEST_LONG"] === undefined ? 2000 : 10_000;
const sidecarCount = 8;
let redis: RedisServer;

before(async () => {
  redis = await startRedis();
});
after(() => redis.close());

async function fleetOf(limit: Record<string, unknown>): Promise<TestSidecar[]> {
  const upstream = (await import("node:http")).createServer((_request, response) => response.end("ok"));
  await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
  const { port } = upstream.address() as { port: number };
  const sidecars = await Promise.all(
    Array.from({ length: sidecarCount }, (_, index) =>
      startSidecar({
        policy: {
          plugins: ["rate-limit"],
          pluginConfig: {
            // The machine that runs this may be slower than any that serves.
            "rate-limit": {
              limits: [{ by: "ip", ...limit }],
              storeTimeoutMs: 2000,
              overload: { enabled: false },
            },
          },
        },
        upstream: `http://127.0.0.1:${port}`,
        redisUrl: redis.url,
        env: { OUTRIGGER_INSTANCE: `s${index}` },
      }),
    ),
  );
  const [first] = sidecars as [TestSidecar];
  const stop = first.stop.bind(first);
  first.stop = async () => {
    await stop();
    upstream.closeAllConnections();
    upstream.close();
  };
  return sidecars;
}

interface Tally {
  readonly admitted: number;
  readonly refused: number;
  readonly others: number;
  readonly elapsedMs: number;
}

/** Sends so many requests a second, evenly, to the sidecars in turn. */
async function load(sidecars: readonly TestSidecar[], perSecond: number, durationMs: number): Promise<Tally> {
  const pools = sidecars.map(({ url }) => new Pool(url, { connections: 8 }));
  const statuses = new Map<number, number>();
  const pending: Promise<void>[] = [];
  const startedAt = performance.now();
  let sent = 0;
  while (performance.now() - startedAt < durationMs) {
    const due = ((performance.now() - startedAt) * perSecond) / 1000;
    for (; sent < due; sent += 1) {
      const pool = pools[sent % pools.length] as Pool;
      const ask = async (): Promise<void> => {
        const { statusCode, body } = await pool.request({ path: "/", method: "GET" });
        await body.dump();
        statuses.set(statusCode, (statuses.get(statusCode) ?? 0) + 1);
      };
      pending.push(ask());
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await Promise.all(pending);
  const elapsedMs = performance.now() - startedAt;
  await Promise.all(pools.map((pool) => pool.close()));
  const admitted = statuses.get(200) ?? 0;
  const refused = statuses.get(429) ?? 0;
  return { admitted, refused, others: sent - admitted - refused, elapsedMs };
}

test("exact: eight sidecars at twice the limit admit the limit and not one more", async (t) => {
  const sidecars = await fleetOf({
    name: "exact",
    limit: 200,
    window: "1h",
    mode: "exact",
    algorithm: "fixed",
  });
  t.after(() => Promise.all(sidecars.map((sidecar) => sidecar.stop())));
  const tally = await load(sidecars, 400_000 / forMs, forMs);
  assert.deepEqual([tally.admitted, tally.others], [200, 0], JSON.stringify(tally));
});

test("exact, with permits that come back: the burst and the rate, not one more", async (t) => {
  const sidecars = await fleetOf({ name: "smooth", limit: 200, window: "1s", burst: 50, mode: "exact" });
  t.after(() => Promise.all(sidecars.map((sidecar) => sidecar.stop())));
  const tally = await load(sidecars, 400, forMs);
  const most = 50 + (200 * tally.elapsedMs) / 1000;
  // On a busy machine the load itself comes late.
  const least = 200 * (forMs / 1000) * 0.9;
  assert.equal(tally.others, 0);
  assert.ok(tally.admitted <= most && tally.admitted >= least, JSON.stringify({ ...tally, least, most }));
});

test("leased: within the stated bound, and not far below the limit", async (t) => {
  const sidecars = await fleetOf({ name: "leased", limit: 200, window: "1s", burst: 50, mode: "leased" });
  t.after(() => Promise.all(sidecars.map((sidecar) => sidecar.stop())));
  const tally = await load(sidecars, 400, forMs);
  const metrics = await (sidecars[0] as TestSidecar).metrics();
  const bound = Number(
    /^outrigger_rate_limit_overshoot_bound\{.*limit="leased".*\} (\d+)$/m.exec(metrics)?.[1],
  );
  assert.equal(bound, 100);
  const most = 50 + (200 * tally.elapsedMs) / 1000 + bound;
  const least = 200 * (forMs / 1000) * 0.85;
  assert.equal(tally.others, 0);
  assert.ok(tally.admitted <= most && tally.admitted >= least, JSON.stringify({ ...tally, least, most }));
});

test("simultaneous requests of one caller are counted each", async (t) => {
  const sidecars = await fleetOf({ name: "at-once", limit: 10, window: "1h", mode: "exact" });
  t.after(() => Promise.all(sidecars.map((sidecar) => sidecar.stop())));
  const answers = await Promise.all(
    Array.from({ length: 64 }, (_, index) => fetch((sidecars[index % 8] as TestSidecar).url)),
  );
  assert.equal(answers.filter(({ status }) => status === 200).length, 10);
  const keys = await redis.cli.keys("outrigger:rl:*");
  assert.ok(keys.length > 0);
  for (const key of keys) {
    assert.match(key, /^outrigger:rl:default:\{[\w-]{22}\}:[\w.-]+:[\w-]{8}:[\w-]{22}$/);
    assert.ok(!key.includes("127.0.0.1"));
    assert.ok((await redis.cli.pttl(key)) > 0, "expires");
  }
});
