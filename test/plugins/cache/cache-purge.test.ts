// `outrigger cache purge` as a user runs it, against sidecars on a real Redis.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startRedis, type RedisServer } from "../../support/redis.ts";
import { outrigger } from "../../support/process.ts";
import { startFleet, until, type CacheBench } from "./harness.ts";

let redis: RedisServer;
let fleet: CacheBench[];
before(async () => {
  redis = await startRedis();
  fleet = await startFleet(2, {
    redisUrl: redis.url,
    service: (request, response, count) => {
      response.writeHead(200, {
        "Cache-Control": "max-age=600",
        "Cache-Tag": `page${(request.url ?? "").replaceAll("/", "-")}`,
      });
      response.end(`answer ${count}`);
    },
  });
});
after(async () => {
  await Promise.all(fleet.map((bench) => bench.stop()));
  await redis.close();
});

const urls = ["/a/1", "/a/2", "/b?q=1"];

/** URLs that no sidecar has any more, once the first one is gone. */
async function gone(expected: readonly string[]): Promise<string[]> {
  await until("the purge", async () => {
    for (const bench of fleet) {
      const { cache } = await bench.ask(expected[0] as string, {
        headers: { "cache-control": "only-if-cached" },
      });
      if (cache === "HIT") return false;
    }
    return true;
  });
  const missing: string[] = [];
  for (const url of urls) {
    const { status } = await (fleet[0] as CacheBench).ask(url, {
      headers: { "cache-control": "only-if-cached" },
    });
    if (status === 504) missing.push(url);
  }
  return missing;
}

const purges: readonly [readonly string[], readonly string[]][] = [
  [["--url", "/a/1"], ["/a/1"]],
  [["--url", "http://api.example/b?q=1"], ["/b?q=1"]],
  [
    ["--prefix", "/a/"],
    ["/a/1", "/a/2"],
  ],
  [["--prefix", "https://api.example/a/2"], ["/a/2"]],
  [
    ["--tag", "page-a-1", "--tag", "page-a-2"],
    ["/a/1", "/a/2"],
  ],
  [["--all"], urls],
];
for (const [options, expected] of purges) {
  test(`cache purge ${options.join(" ")} empties every sidecar`, async () => {
    for (const url of urls) for (const bench of fleet) await bench.ask(url);
    const { code, stderr } = await outrigger(["cache", "purge", ...options], { REDIS_URL: redis.url });
    assert.deepEqual([code, stderr], [0, ""]);
    assert.deepEqual(await gone(expected), expected);
  });
}

test("cache purge --json says what was purged, for another service, softly", async () => {
  const options = ["cache", "purge", "--tag", "x", "--soft", "--service", "orders", "--json"];
  const { code, stdout } = await outrigger(options, { REDIS_URL: redis.url });
  assert.equal(code, 0);
  assert.deepEqual(JSON.parse(stdout), {
    service: "orders",
    purges: [{ kind: "tag", value: "x", soft: true, region: "" }],
  });
  assert.equal(await redis.cli.zcard("outrigger:cache:orders:purges"), 1);
});

test("cache purge without a purpose, without Redis, or with a bad URL is a usage error", async () => {
  for (const [args, env] of [
    [[], { REDIS_URL: redis.url }],
    [["--all"], {}],
    [["--url", "a/b"], { REDIS_URL: redis.url }],
    [["--prefix", "ftp://x/"], { REDIS_URL: redis.url }],
  ] as const) {
    const { code, stderr } = await outrigger(["cache", "purge", ...args], env);
    assert.equal(code, 2);
    assert.notEqual(stderr, "");
  }
});

test("cache purge with a Redis out of reach exits 1 and does not show the password", async () => {
  const { code, stderr } = await outrigger(["cache", "purge", "--all"], {
    REDIS_URL: "redis://:hunter2@127.0.0.1:1",
  });
  assert.deepEqual([code, stderr], [1, "REDIS_URL: 127.0.0.1:1 cannot be used: ECONNREFUSED\n"]);
});

test("a command to a Redis that refuses its login says where and why", async () => {
  const guarded = await startRedis({ args: ["--requirepass", "hunter2"] });
  try {
    const where = guarded.url.replace(/^.*@|^redis:\/\//, "").replace(/\/.*$/, "");
    for (const [login, why] of [
      ["", "NOAUTH"],
      [":hunter3@", "WRONGPASS"],
    ] as const) {
      const { code, stderr } = await outrigger(["keys", "list"], { REDIS_URL: `redis://${login}${where}` });
      assert.deepEqual([code, stderr], [1, `REDIS_URL: ${where} cannot be used: ${why}\n`]);
    }
  } finally {
    await guarded.close();
  }
});
