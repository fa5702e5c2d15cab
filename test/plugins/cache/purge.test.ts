// Purges: by URL, prefix and tag, by the service and by anyone with Redis, in one sidecar and in the whole fleet.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { appendArguments, appendPurges } from "../../../plugins/cache/purge/purge-log.ts";
import type { Purge } from "../../../plugins/cache/purge/purge.ts";
import { startRedis, type RedisServer } from "../../support/redis.ts";
import {
  answering,
  gate,
  joinFleet,
  startBench,
  startFleet,
  until,
  type BenchOptions,
  type CacheBench,
} from "./harness.ts";

let redis: RedisServer;
before(async () => {
  redis = await startRedis();
});
after(() => redis.close());

const minute = { "Cache-Control": "max-age=60" };

/** What `outrigger cache purge` writes. */
async function purgeFleet(purge: Omit<Purge, "region">): Promise<void> {
  const form = { key: "cache:default:purges", seal: undefined, now: Date.now };
  const args = appendArguments([{ ...purge, region: "" }], form).map(String);
  await redis.cli.eval(appendPurges.lua, 1, `outrigger:${form.key}`, ...args);
}

const tagged: BenchOptions["service"] = (request, response, count) => {
  const purge = request.headers["x-purge"];
  response.writeHead(200, {
    ...minute,
    "Cache-Tag": `all, page-${request.url?.slice(1)}`,
    "Surrogate-Key": "sk1 sk2",
    ...(typeof purge === "string" ? { "Outrigger-Purge": purge } : {}),
  });
  response.end(`answer ${count}`);
};

test("tags and purges of the service are for the cache alone", async () => {
  const bench = await startBench({ service: tagged });
  try {
    for (const _ of [1, 2]) {
      const { headers } = await bench.ask("/x", { headers: { "x-purge": "tag=other" } });
      for (const name of ["cache-tag", "surrogate-key", "outrigger-purge"])
        assert.equal(headers[name], undefined);
    }
  } finally {
    await bench.stop();
  }
});

for (const [purge, gone] of [
  ["url=/a/1", ["/a/1"]],
  ["prefix=/a/", ["/a/1", "/a/2"]],
  ["tag=page-b", ["/b"]],
  ["tag=sk2", ["/a/1", "/a/2", "/b"]],
  ["all", ["/a/1", "/a/2", "/b"]],
  ["tag=b, url=/b, nonsense, prefix=", ["/b"]],
] as const) {
  test(`the service purges with Outrigger-Purge: ${purge}`, async () => {
    const bench = await startBench({ service: tagged });
    try {
      for (const url of ["/a/1", "/a/2", "/b"]) await bench.ask(url);
      await bench.ask("/do", { method: "POST", headers: { "x-purge": purge } });
      const now: string[] = [];
      for (const url of ["/a/1", "/a/2", "/b"]) if ((await bench.ask(url)).cache === "MISS") now.push(url);
      assert.deepEqual(now, gone);
    } finally {
      await bench.stop();
    }
  });
}

test("a soft purge marks stale: the answer is validated, or served while it is refreshed", async () => {
  const bench = await startBench({
    service: (request, response, count) => {
      const swr = request.url === "/swr" ? ", stale-while-revalidate=60" : "";
      response.writeHead(request.headers["if-none-match"] === undefined ? 200 : 304, {
        "Cache-Control": `max-age=60${swr}`,
        ETag: '"1"',
        ...(request.method === "POST" ? { "Outrigger-Purge": "all;soft" } : {}),
      });
      response.end(`answer ${count}`);
    },
  });
  try {
    await bench.ask("/plain");
    await bench.ask("/swr");
    await bench.ask("/do", { method: "POST" });
    const validated = await bench.ask("/plain");
    assert.match(String(validated.headers["cache-status"]), /fwd=stale; fwd-status=304/);
    assert.equal((await bench.ask("/swr")).cache, "STALE");
  } finally {
    await bench.stop();
  }
});

test("a purge spoils an answer that was under way", async () => {
  const door = gate();
  const bench = await startBench({
    service: (request, response, count) => {
      const answer = (): void => answering(minute)(request, response, count);
      if (count === 1) void door.opened.then(answer);
      else answer();
    },
  });
  try {
    const old = bench.ask("/x");
    await until("the request", () => bench.asked.length === 1);
    await bench.ask("/x", { method: "POST" });
    door.open();
    assert.equal((await old).text, "answer 1");
    assert.equal((await bench.ask("/x")).text, "answer 3");
  } finally {
    await bench.stop();
  }
});

test("a purge reaches every sidecar within a second, memory and Redis", async () => {
  await redis.cli.flushall();
  const options: BenchOptions = { redisUrl: redis.url, cache: { redisWaitMs: 1_000 }, service: tagged };
  const [one, other] = (await startFleet(2, options)) as [CacheBench, CacheBench];
  try {
    for (const bench of [one, other]) await bench.ask("/x");
    // Both have it in memory now, the second one out of Redis.
    for (const bench of [one, other]) assert.equal((await bench.ask("/x")).cache, "HIT");
    const started = performance.now();
    await purgeFleet({ kind: "tag", value: "page-x", soft: false });
    await until("a miss everywhere", async () => {
      const answers = await Promise.all([one, other].map((bench) => bench.ask("/x")));
      return answers.every(({ text }) => text !== "answer 1");
    });
    assert.ok(performance.now() - started < 5_000);
  } finally {
    await Promise.all([one.stop(), other.stop()]);
  }
});

test("an unsafe request at one sidecar makes the URL invalid at the others", async () => {
  await redis.cli.flushall();
  const options: BenchOptions = {
    redisUrl: redis.url,
    cache: { redisWaitMs: 1_000 },
    service: answering(minute),
  };
  const host = { host: "api.example" };
  const [one, other] = (await startFleet(2, options)) as [CacheBench, CacheBench];
  try {
    for (const bench of [one, other]) await bench.ask("/x", { headers: host });
    assert.equal((await other.ask("/x", { headers: host })).cache, "HIT");
    // The gauges follow what comes out of Redis, and what a purge takes away.
    assert.match(await other.sidecar.metrics(), /^outrigger_cache_memory_entries\{.*\} 1$/m);
    await one.ask("/x", { method: "PUT", headers: host, body: "new" });
    assert.match(await one.sidecar.metrics(), /^outrigger_cache_memory_entries\{.*\} 0$/m);
    await until(
      "a miss at the other one",
      async () => (await other.ask("/x", { headers: host })).cache === "MISS",
    );
  } finally {
    await Promise.all([one.stop(), other.stop()]);
  }
});

test("a sidecar that starts later knows the purges of before", async () => {
  await redis.cli.flushall();
  const options: BenchOptions = { redisUrl: redis.url, cache: { redisWaitMs: 1_000 }, service: tagged };
  const one = await startBench(options);
  let two: CacheBench | undefined;
  try {
    await one.ask("/x");
    await until("the entry in Redis", async () => (await redis.cli.keys("*:e:*")).length === 1);
    await purgeFleet({ kind: "prefix", value: "/x", soft: false });
    two = await joinFleet(one, options);
    assert.equal((await two.ask("/x")).cache, "MISS");
  } finally {
    await one.stop();
    await two?.stop();
  }
});

test("garbage among the purges is passed over", async () => {
  await redis.cli.flushall();
  const bench = await startBench({ redisUrl: redis.url, cache: { redisWaitMs: 1_000 }, service: tagged });
  try {
    await bench.ask("/x");
    await redis.cli.zadd("outrigger:cache:default:purges", Date.now(), "garbage");
    await purgeFleet({ kind: "all", value: "", soft: false });
    await until("the purge behind it", async () => (await bench.ask("/x")).cache === "MISS");
  } finally {
    await bench.stop();
  }
});

test("a purge of long ago is not made again when Redis is back after a cut", async () => {
  await redis.cli.flushall();
  const log = "outrigger:cache:default:purges";
  const record = (value: string): string => JSON.stringify({ kind: "url", value, soft: false, region: "" });
  await redis.cli.zadd(log, Date.now() - 60_000, record("/x"));
  const bench = await startBench({ redisUrl: redis.url, cache: { redis: false }, service: tagged });
  const markerRead = async (): Promise<void> => {
    await bench.ask("/marker");
    await redis.cli.zadd(log, Date.now(), record("/marker"));
    await redis.cli.publish(log, "");
    await until("the latest purge", async () => (await bench.ask("/marker")).cache === "MISS");
  };
  try {
    await markerRead();
    await bench.ask("/x");
    for (const type of ["NORMAL", "PUBSUB"]) await redis.cli.call("CLIENT", "KILL", "TYPE", type);
    await until(
      "it listens again",
      async () => String(await redis.cli.call("CLIENT", "LIST", "TYPE", "PUBSUB")) !== "",
    );
    await markerRead();
    assert.equal((await bench.ask("/x")).cache, "HIT");
  } finally {
    await bench.stop();
  }
});

test("a region's purges and entries are its own", async () => {
  await redis.cli.flushall();
  const options: BenchOptions = { redisUrl: redis.url, cache: { redisWaitMs: 1_000 }, service: tagged };
  const north = await startBench({ ...options, env: { OUTRIGGER_REGION: "north" } });
  const south = await joinFleet(north, { ...options, env: { OUTRIGGER_REGION: "south" } });
  try {
    await north.ask("/x");
    await until("the entry in Redis", async () => (await redis.cli.keys("*@north:e:*")).length === 1);
    assert.equal((await south.ask("/x")).cache, "MISS");
    await north.ask("/do", { method: "POST", headers: { "x-purge": "all" } });
    await until(
      "the purge",
      async () => (await redis.cli.exists("outrigger:cache:default:@north:purges")) === 1,
    );
    assert.equal((await south.ask("/x")).cache, "HIT");
  } finally {
    await Promise.all([north.stop(), south.stop()]);
  }
});
