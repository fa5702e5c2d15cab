// Lists of networks in Redis, through running sidecars.
import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { ipFilter } from "../../../plugins/ip-filter/index.ts";
import { TestClock } from "../../../src/testing/clock.ts";
import { setUpPlugin } from "../../../src/testing/hooks.ts";
import { exchangeOf } from "../../support/exchange.ts";
import { eventually, type RedisServer, startRedis } from "../../support/redis.ts";
import { startSidecar, type TestSidecar } from "../../support/sidecar.ts";

const office = "outrigger:ip-list:office";
const abusers = "outrigger:ip-list:abusers";

let redis: RedisServer;
before(async () => {
  redis = await startRedis();
});
after(() => redis.close());
beforeEach(() => redis.cli.flushall());

const sidecarWith = (options: object, more: object = {}): Promise<TestSidecar> =>
  startSidecar({
    redisUrl: redis.url,
    env: { OUTRIGGER_TRUSTED_PROXIES: "127.0.0.1" },
    policy: { plugins: ["logging", "ip-filter"], pluginConfig: { "ip-filter": options }, ...more },
    upstream: (_request, response) => response.end("service"),
  });

const ask = async ({ url }: TestSidecar, address: string): Promise<number> =>
  (await fetch(url, { headers: { "X-Forwarded-For": address } })).status;

test("a change is in force in every sidecar within a second", async () => {
  await redis.cli.set(office, "# head office\n10.0.0.0/8 # all floors\n\n2001:db8::/32\n");
  await redis.cli.hset(abusers, "10.6.6.6", "scans");
  const options = { lists: ["office"], denyLists: ["abusers"], allow: ["172.16.0.1"] };
  await using one = await sidecarWith(options);
  await using two = await sidecarWith(options);
  for (const sidecar of [one, two]) {
    const asked = ["10.1.1.1", "2001:db8::1", "172.16.0.1", "10.6.6.6", "11.0.0.1"];
    const statuses = await Promise.all(asked.map((address) => ask(sidecar, address)));
    assert.deepEqual(statuses, [200, 200, 200, 403, 403]);
  }
  const start = performance.now();
  await redis.cli.set(office, "11.0.0.0/8");
  await redis.cli.hset(abusers, "172.16.0.0/12", "moved here");
  for (const sidecar of [one, two]) {
    await eventually("the change", async () => {
      const asked = ["11.0.0.1", "10.1.1.1", "172.16.0.1"].map((each) => ask(sidecar, each));
      return String(await Promise.all(asked)) === "200,403,403";
    });
  }
  // A second where the machine has nothing else to do.
  assert.ok(performance.now() - start < 5_000);
  assert.match(await one.metrics(), /^outrigger_ip_filter_list_entries\{.*list="abusers".*\} 2$/m);
});

test("a list that nobody knows opens no door: 503, and the log says which", async () => {
  await using sidecar = await sidecarWith({ allow: ["10.0.0.1"], deny: ["10.0.0.2"], lists: ["office"] });
  const statuses = await Promise.all(["10.0.0.1", "10.0.0.2", "10.0.0.3"].map((each) => ask(sidecar, each)));
  assert.deepEqual(statuses, [200, 403, 503]);
  await sidecar.line(({ msg }) => /there is no key ip-list:office/.test(String(msg)));
  await redis.cli.set(office, "");
  await eventually("403", async () => (await ask(sidecar, "10.0.0.3")) === 403);
  await redis.cli.set(office, "10.0.0.3");
  await eventually("200", async () => (await ask(sidecar, "10.0.0.3")) === 200);
  await redis.cli.del(office);
  await eventually("503", async () => (await ask(sidecar, "10.0.0.3")) === 503);
});

test("a list with a slip in it leaves the one before it in force", async () => {
  await redis.cli.set(abusers, "10.0.0.1");
  await using sidecar = await sidecarWith({ denyLists: ["abusers"] });
  for (const [text, message] of [
    ["10.0.0.2\n10.0.0.300", /holds "10\.0\.0\.300", which is no network/],
    ["1.1.1.1\n".repeat(100_001), /is larger than 100000 networks/],
    ["#".repeat(8 * 1024 * 1024 + 1), /is larger than/],
  ] as const) {
    await redis.cli.set(abusers, text);
    await sidecar.line(({ msg }) => message.test(String(msg)));
    assert.deepEqual([await ask(sidecar, "10.0.0.1"), await ask(sidecar, "10.0.0.2")], [403, 200]);
  }
  await redis.cli.del(abusers);
  await redis.cli.lpush(abusers, "10.0.0.2");
  await sidecar.line(({ msg }) => /neither a string nor a hash/.test(String(msg)));
});

test("without Redis a list counts for a while, then requests that depend on it are 503", async () => {
  const own = await startRedis();
  try {
    await own.cli.set(office, "10.0.0.1");
    const clock = new TestClock();
    const options = { allow: ["10.0.0.9"], lists: ["office"], staleSeconds: 60 };
    await using plugin = await setUpPlugin(ipFilter, { options, redisUrl: own.url, clock });
    const outcome = async (address: string): Promise<string> => {
      const verdict = await plugin.hooks.onRequest?.(exchangeOf({ address }));
      return verdict?.action === "reject" ? verdict.error.code : "in";
    };
    assert.equal(await outcome("10.0.0.1"), "in");
    await own.kill();
    // The plugin looks once a second whether changes are heard.
    await eventually("the outage is noticed", () => /cannot be read/.test(plugin.hooks.health?.() ?? ""));
    clock.advance(59_000);
    assert.deepEqual([await outcome("10.0.0.1"), await outcome("10.0.0.2")], ["in", "forbidden"]);
    clock.advance(2_000);
    assert.deepEqual(
      [await outcome("10.0.0.1"), await outcome("10.0.0.2"), await outcome("10.0.0.9")],
      ["dependency_unavailable", "dependency_unavailable", "in"],
    );
  } finally {
    await own.close();
  }
});

test("a policy's tests know no list, and open nothing by that", async () => {
  await redis.cli.set(office, "0.0.0.0/0");
  const tests = [{ name: "closed", request: { path: "/" }, expect: { status: 503 } }];
  await using sidecar = await sidecarWith({ lists: ["office"] }, { tests });
  assert.equal(await ask(sidecar, "10.0.0.1"), 200);
});
