// Answers that a policy has changed are found only under that policy: in this sidecar, in Redis, and in sidecars with
// another policy.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { outrigger } from "../../support/process.ts";
import { startRedis, type RedisServer } from "../../support/redis.ts";
import { type BenchOptions, type CacheBench, joinFleet, startBench, until } from "./harness.ts";

let redis: RedisServer;
before(async () => {
  redis = await startRedis();
});
after(() => redis.close());

const person: BenchOptions["service"] = (_request, response) => {
  response.writeHead(200, { "Cache-Control": "max-age=600", "Content-Type": "application/json" });
  response.end('{"name":"Ann","ssn":"078-05-1120"}');
};

test("what was stored before a policy changes what stands behind the cache is not served under it", async () => {
  const open = { plugins: ["cache"] };
  const discreet = {
    plugins: ["cache", "body-transform"],
    pluginConfig: { "body-transform": { response: { remove: ["/ssn"] } } },
  };
  const bench = await startBench({ policy: open, service: person });
  const shown = async (target: string): Promise<string> => {
    const { text, cache } = await bench.ask(target);
    return `${text.includes("ssn") ? "all" : "name"} ${cache}`;
  };
  let fresh = 0;
  const nowUnder = async (policy: Readonly<Record<string, unknown>>, seen: string): Promise<void> => {
    bench.sidecar.setPolicy(policy);
    await until(`answers with ${seen}`, async () => (await shown(`/${(fresh += 1)}`)) === `${seen} MISS`);
  };
  try {
    assert.deepEqual([await shown("/x"), await shown("/x")], ["all MISS", "all HIT"]);
    await nowUnder(discreet, "name");
    assert.deepEqual([await shown("/x"), await shown("/x")], ["name MISS", "name HIT"]);
    await nowUnder(open, "all");
    assert.equal(await shown("/x"), "all HIT", "each policy has its own");
    await bench.ask("/x", { method: "POST" });
    assert.equal(await shown("/x"), "all MISS");
    await nowUnder(discreet, "name");
    assert.equal(await shown("/x"), "name MISS", "a purge concerns what any policy stored");
  } finally {
    await bench.stop();
  }
});

interface Parts {
  readonly cache?: object;
  readonly logging?: object;
  readonly transform?: object;
  readonly route?: object;
}

const fieldsSet = { "x-a": "1", "x-b": "2" };
const policyOf = ({ cache, logging = {}, transform, route }: Parts): Readonly<Record<string, unknown>> => ({
  plugins: ["logging", "cache", "transform"],
  pluginConfig: {
    logging,
    // Redis has its time on a machine that is busy with other tests.
    cache: { redisWaitMs: 1_000, ...cache },
    transform: transform ?? { addResponseHeaders: fieldsSet },
  },
  routes: [{ path: "/api/*", ...route }],
});

test("sidecars share answers in Redis as far as their policies make the same of them", async () => {
  const options: BenchOptions = { redisUrl: redis.url, service: person };
  const first = await startBench({ ...options, policy: policyOf({}) });
  const benches: CacheBench[] = [first];
  const cacheUnder = async (parts: Parts): Promise<string | undefined> => {
    const bench = await joinFleet(first, { ...options, policy: policyOf(parts) });
    benches.push(bench);
    return (await bench.ask("/api/x")).cache;
  };
  try {
    await first.ask("/api/x");
    await until("the entry", async () => (await redis.cli.keys("outrigger:cache:*e:*")).length === 1);
    for (const same of [
      {},
      { transform: { addResponseHeaders: { "x-b": "2", "x-a": "1" } } },
      { logging: { level: "warn", headers: ["accept"] } },
      { cache: { ttlSeconds: 5, tags: ["x"] } },
    ])
      assert.equal(await cacheUnder(same), "HIT", JSON.stringify(same));
    for (const other of [
      { transform: { addResponseHeaders: { ...fieldsSet, "x-c": "3" } } },
      { transform: { addResponseHeaders: fieldsSet, removeHeaders: ["accept"] } },
      { route: { stripPrefix: "/api" } },
      { route: { stripPrefix: "/api", restorePrefix: true } },
      { route: { plugins: ["logging", "cache"] } },
      { cache: { ignoreQuery: ["v"] } },
    ])
      assert.equal(await cacheUnder(other), "MISS", JSON.stringify(other));
    await first.ask("/api/x", { method: "DELETE" });
    for (const bench of benches)
      await until("the purge", async () => (await bench.ask("/api/x")).cache === "MISS");
  } finally {
    await Promise.all(benches.map((bench) => bench.stop()));
  }
});

test("what is stored while a plugin is switched off is not served once it is on again", async () => {
  await redis.cli.flushall();
  const remove = { "body-transform": { response: { remove: ["/ssn"] } } };
  const policy = { plugins: ["cache", "body-transform"], pluginConfig: remove };
  const bench = await startBench({ redisUrl: redis.url, policy, service: person });
  const shown = async (target: string): Promise<string> =>
    (await bench.ask(target)).text.includes("ssn") ? "all" : "name";
  const switched = async (to: string, seen: string): Promise<void> => {
    const { code, stderr } = await outrigger(["plugins", to, "body-transform", "--reason", "test"], {
      REDIS_URL: redis.url,
    });
    assert.equal(code, 0, stderr);
    let fresh = 0;
    await until(`answers with ${seen}`, async () => (await shown(`/${to}/${(fresh += 1)}`)) === seen);
  };
  try {
    assert.equal(await shown("/x"), "name");
    await switched("disable", "all");
    assert.deepEqual([await shown("/x"), await shown("/y")], ["all", "all"]);
    await switched("enable", "name");
    assert.deepEqual([await shown("/x"), await shown("/y")], ["name", "name"]);
  } finally {
    await bench.stop();
  }
});
