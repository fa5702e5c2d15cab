// API keys against a real Redis: accepted, refused, revoked, cached, and what happens while Redis is away.
import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { createKey, keyDigest, pepperedDigest } from "../../../plugins/auth/api-keys/key-format.ts";
import { eventually, startRedis, type RedisServer } from "../../support/redis.ts";
import { makeRoute, makeServices, series, withKey, type Route, type TestServices } from "./harness.ts";

let redis: RedisServer;
const opened: TestServices[] = [];

before(async () => {
  redis = await startRedis();
});
after(async () => {
  for (const services of opened) services.close();
  await redis.close();
});
beforeEach(async () => {
  await redis.cli.flushall();
});

async function servicesOf(options: Parameters<typeof makeServices>[0] = {}): Promise<TestServices> {
  const services = await makeServices({ redisUrl: redis.url, ...options });
  opened.push(services);
  return services;
}

const record = (facts: object = {}): string =>
  JSON.stringify({ id: "k1", userId: "u1", plan: "pro", scopes: ["read"], ...facts });
const put = (key: string, text = record()): Promise<unknown> =>
  redis.cli.set(`outrigger:apikey:${keyDigest(key)}`, text);
const gets = async (): Promise<number> => {
  const stats = await redis.cli.info("commandstats");
  return Number(/cmdstat_getrange:calls=(\d+)/.exec(stats)?.[1] ?? 0);
};
/** Asks until the answer has the status; returns how long that took. */
async function until(route: Route, key: string, status: number): Promise<number> {
  const began = performance.now();
  await eventually(`status ${status}`, async () => (await route.ask(withKey(key))).status === status);
  return performance.now() - began;
}

test("a key set by hand is accepted from X-Api-Key and from Authorization: ApiKey in any case", async () => {
  const services = await servicesOf();
  const route = await makeRoute({}, services);
  await put("plain-key");
  const answer = await route.ask(withKey("plain-key"));
  assert.equal(answer.status, 200);
  assert.deepEqual(
    { ...answer.identity },
    {
      userId: "u1",
      plan: "pro",
      scopes: ["read"],
      roles: [],
      method: "api-key",
      credentialId: "k1",
      claims: {},
    },
  );
  for (const scheme of ["ApiKey", "apikey", "APIKEY", "aPiKeY"]) {
    assert.equal((await route.ask({ fields: ["authorization", `${scheme} plain-key`] })).status, 200, scheme);
  }
});

test("the service never gets the key, unless the policy says so", async () => {
  const services = await servicesOf();
  await put("plain-key");
  const ask = { fields: ["X-Api-Key", "plain-key", "X-Other", "1"] };
  assert.deepEqual((await (await makeRoute({}, services)).ask(ask)).fields.toFlat(), ["X-Other", "1"]);
  const forwarding = await makeRoute({ forwardCredentials: true }, services);
  assert.equal((await forwarding.ask(ask)).fields.get("x-api-key"), "plain-key");
});

test("a known key is answered plainly, without a promise and without a round trip", async () => {
  const services = await servicesOf();
  const route = await makeRoute({}, services);
  await put("plain-key");
  await until(route, "plain-key", 200);
  const before = await gets();
  for (let i = 0; i < 1_000; i += 1) assert.ok((await route.ask(withKey("plain-key"))).plainly);
  assert.equal(await gets(), before);
});

test("simultaneous look-ups of one key are one", async () => {
  const services = await servicesOf();
  const route = await makeRoute({}, services);
  await put("plain-key");
  await redis.cli.config("RESETSTAT");
  const answers = await Promise.all(Array.from({ length: 200 }, () => route.ask(withKey("plain-key"))));
  assert.ok(answers.every(({ status }) => status === 200));
  assert.equal(await gets(), 1);
});

test("an unknown key is 401 and costs Redis nothing when it comes again", async () => {
  const services = await servicesOf();
  const route = await makeRoute({ guessing: false }, services);
  await until(route, "nobody's", 401);
  const before = await gets();
  const answer = await route.ask(withKey("nobody's"));
  assert.equal(answer.error, "Invalid API key");
  assert.deepEqual(answer.answerFields.toFlat(), ["WWW-Authenticate", 'ApiKey realm="outrigger"']);
  for (let i = 0; i < 1_000; i += 1) await route.ask(withKey("nobody's"));
  assert.equal(await gets(), before);
});

test("a mistyped key of ours is 401 without a look-up", async () => {
  const services = await servicesOf();
  const route = await makeRoute({ guessing: false }, services);
  const key = createKey();
  await redis.cli.config("RESETSTAT");
  const typo = key.slice(0, -1) + (key.endsWith("a") ? "b" : "a");
  const answer = await route.ask(withKey(typo));
  assert.equal(answer.status, 401);
  assert.equal(answer.because, "api key: wrong checksum");
  assert.equal(await gets(), 0);
});

test("a flood of random keys is held to the look-up budget and answered 503 past it, never let in", async () => {
  const services = await servicesOf();
  const route = await makeRoute({ guessing: false, apiKeys: { maxLookupsPerSecond: 50 } }, services);
  await redis.cli.config("RESETSTAT");
  const answers = await Promise.all(Array.from({ length: 2_000 }, () => route.ask(withKey(createKey()))));
  const statuses = new Set(answers.map(({ status }) => status));
  assert.deepEqual(statuses, new Set([401, 503]));
  assert.ok((await gets()) < 200, `${await gets()} look-ups`);
});

test("a route that allows few look-ups takes none from one that allows many", async () => {
  const services = await servicesOf();
  const many = await makeRoute({ guessing: false }, services);
  const options = { guessing: false, apiKeys: { maxLookupsPerSecond: 1 } };
  const few = await makeRoute(options, services, many.state);
  const keys = Array.from({ length: 100 }, (_, index) => `key-${index}`);
  for (const key of keys) await put(key);
  assert.equal((await few.ask(withKey("made-up"))).status, 401);
  const answers = await Promise.all(keys.map((key) => many.ask(withKey(key))));
  assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
  const made = await Promise.all(keys.map((key) => few.ask(withKey(`no-${key}`))));
  assert.ok(made.filter(({ status }) => status === 503).length > 90, "its own limit counts there");
});

test("DEL, disabling and any other change are in force within a second", async () => {
  const services = await servicesOf();
  const route = await makeRoute({ guessing: false }, services);
  await put("plain-key");
  await until(route, "plain-key", 200);
  await redis.cli.del(`outrigger:apikey:${keyDigest("plain-key")}`);
  assert.ok((await until(route, "plain-key", 401)) < 1_000);
  await put("plain-key");
  assert.ok((await until(route, "plain-key", 200)) < 1_000);
  await put("plain-key", record({ disabled: true }));
  assert.ok((await until(route, "plain-key", 401)) < 1_000);
  await put("plain-key", record({ plan: "free" }));
  assert.ok((await until(route, "plain-key", 200)) < 1_000);
  assert.equal((await route.ask(withKey("plain-key"))).identity?.plan, "free");
});

test("an expired key is refused at its very moment, cached or not", async () => {
  const services = await servicesOf();
  const route = await makeRoute({}, services);
  const endsMs = Date.now() + 30_000;
  for (const expiresAt of [new Date(endsMs).toISOString(), endsMs, Math.floor(endsMs / 1000)]) {
    await put(`key-${expiresAt}`, record({ expiresAt }));
    await until(route, `key-${expiresAt}`, 200);
  }
  services.clock.forward(30_001);
  for (const expiresAt of [new Date(endsMs).toISOString(), endsMs, Math.floor(endsMs / 1000)]) {
    const answer = await route.ask(withKey(`key-${expiresAt}`));
    assert.deepEqual([answer.status, answer.because], [401, "api key: expired"]);
  }
});

test("a key is good only from its client addresses and for its services", async () => {
  const services = await servicesOf({ service: "orders" });
  const route = await makeRoute({}, services);
  await put("ranged", record({ cidrs: ["10.1.0.0/16", "2001:db8::/32"] }));
  const from = async (address: string): Promise<number> =>
    (await route.ask({ ...withKey("ranged"), address })).status;
  assert.equal(await from("10.1.255.1"), 200);
  assert.equal(await from("2001:db8::7"), 200);
  assert.equal(await from("10.2.0.1"), 401);
  assert.equal(await from("2001:db9::7"), 401);
  await put("elsewhere", record({ services: ["payments"] }));
  await put("here", record({ services: ["payments", "orders"] }));
  assert.equal((await route.ask(withKey("elsewhere"))).because, "api key: service not allowed");
  assert.equal((await route.ask(withKey("here"))).status, 200);
});

test("a bad record is logged once a minute, however often it is asked for, and counted", async () => {
  const services = await servicesOf();
  const route = await makeRoute({}, services);
  await put("spoilt", "{");
  await put("spoilt-too", "[]");
  const said = async (): Promise<number> =>
    (await services.log()).split("an API key's record is not valid").length - 1;
  const ask = async (name: string): Promise<void> => {
    // Long enough for what is remembered of a look-up to be over.
    services.clock.forward(3_000);
    assert.equal((await route.ask(withKey(name))).status, 503);
  };
  for (let i = 0; i < 10; i += 1) await ask("spoilt");
  assert.equal(await said(), 1);
  await ask("spoilt-too");
  assert.equal(await said(), 2, "another record is another matter");
  services.clock.forward(60_000);
  await ask("spoilt");
  assert.equal(await said(), 3);
  assert.match(await services.log(), /"unsaid":\d/);
  assert.match(await services.metrics.render(), /outrigger_auth_bad_key_records_total\{[^}]*\} \d/);
});

test("a record that is not JSON or lacks a field is 503 and a loud line without the key, never let in", async () => {
  const services = await servicesOf();
  const route = await makeRoute({}, services);
  const broken = ["", "{", "null", "[]", "{}", '{"id":"k1"}', '{"id":"k1","userId":7,"scopes":[]}'];
  broken.push(
    record({ scopes: "read" }),
    record({ userId: "a\r\nX-Admin: 1" }),
    record({ expiresAt: "tomorrow" }),
  );
  broken.push(record({ disabled: "no" }), record({ cidrs: ["10.0.0.0/99"] }), record({ scopes: undefined }));
  broken.push(record({ claims: { long: "x".repeat(65_536) } }));
  for (const [index, text] of broken.entries()) {
    await put(`broken-${index}`, text);
    const answer = await route.ask(withKey(`broken-${index}`));
    assert.equal(answer.status, 503, text);
    assert.equal(answer.identity, undefined);
  }
  const log = await services.log();
  assert.match(log, /an API key's record is not valid/);
  assert.doesNotMatch(log, /broken-\d/);
});

test("malformed keys are 401 at once: blank, several, too long, with controls or outside ASCII", async () => {
  const services = await servicesOf();
  const route = await makeRoute({ guessing: false }, services);
  await put("plain-key");
  const bad: string[][] = [
    ["X-Api-Key", ""],
    ["X-Api-Key", " "],
    ["X-Api-Key", "a b"],
    ["X-Api-Key", "a\r\nb"],
    ["X-Api-Key", "ключ"],
    ["X-Api-Key", "k".repeat(1_000_000)],
    ["X-Api-Key", "plain-key", "X-Api-Key", "plain-key"],
    ["X-Api-Key", "plain-key", "Authorization", "ApiKey plain-key"],
    ["Authorization", "ApiKey"],
    ["Authorization", "ApiKey "],
    ["Authorization", "Basic eDp5", "Authorization", "ApiKey plain-key"],
  ];
  for (const fields of bad) {
    const answer = await route.ask({ fields });
    assert.equal(answer.status, 401, String(fields).slice(0, 80));
    assert.ok(answer.plainly);
  }
});

test("the policy names other fields and query parameters, and false takes no keys at all", async () => {
  const services = await servicesOf();
  await put("plain-key");
  const other = await makeRoute(
    { apiKeys: { headers: ["X-Token"], query: ["api_key"] }, forwardCredentials: true },
    services,
  );
  assert.equal((await other.ask({ fields: ["x-token", "plain-key"] })).status, 200);
  assert.equal((await other.ask({ query: "?a=1&api%5Fkey=plain%2Dkey" })).status, 200);
  assert.equal((await other.ask({ query: "?api_key=plain-key&api_key=plain-key" })).status, 401);
  assert.equal((await other.ask({ query: "?api_key=%zz" })).status, 401);
  assert.equal((await other.ask(withKey("plain-key"))).status, 401);
  const none = await makeRoute({ apiKeys: false }, services);
  assert.equal((await none.ask(withKey("plain-key"))).error, "Authentication required");
});

test("keys in the policy are accepted by their hash, without Redis too", async () => {
  const services = await makeServices();
  const keys = [{ sha256: keyDigest("own"), id: "k9", userId: "u9", scopes: ["a"] }];
  const route = await makeRoute({ apiKeys: { keys } }, services);
  const answer = await route.ask(withKey("own"));
  assert.deepEqual([answer.status, answer.identity?.userId, answer.plainly], [200, "u9", true]);
  assert.equal((await route.ask(withKey("other"))).status, 401);
});

test("with peppers a key is found under any of them, and under the plain hash only where that is allowed", async () => {
  const [old, current] = ["old-pepper-0123456789", "new-pepper-0123456789"] as const;
  const services = await servicesOf({ secrets: { API_KEY_PEPPER: `${current},${old}` } });
  await redis.cli.set(`outrigger:apikey:${pepperedDigest("key-a", old)}`, record({ id: "a" }));
  await redis.cli.set(`outrigger:apikey:${pepperedDigest("key-b", current)}`, record({ id: "b" }));
  await put("key-c", record({ id: "c" }));
  const open = await makeRoute({ guessing: false }, services);
  const strict = await makeRoute({ guessing: false, apiKeys: { requirePepper: true } }, services, open.state);
  for (const key of ["key-a", "key-b", "key-c"])
    assert.equal((await open.ask(withKey(key))).status, 200, key);
  for (const key of ["key-a", "key-b"]) assert.equal((await strict.ask(withKey(key))).status, 200, key);
  assert.equal((await strict.ask(withKey("key-c"))).status, 401);
  await redis.cli.del(`outrigger:apikey:${pepperedDigest("key-a", old)}`);
  assert.ok((await until(strict, "key-a", 401)) < 1_000);
  await redis.cli.set(`outrigger:apikey:${pepperedDigest("key-a", current)}`, record({ id: "a" }));
  assert.ok((await until(strict, "key-a", 200)) < 1_000);
});

test("a record that is set under a newer pepper is in force at once, though the older one is known", async () => {
  const secrets = { API_KEY_PEPPER: "0123456789abcdef0123" };
  const route = await makeRoute({}, await servicesOf({ secrets }));
  await put("key-c");
  await eventually("known from memory", async () => (await route.ask(withKey("key-c"))).plainly, 5_000);
  const newer = `outrigger:apikey:${pepperedDigest("key-c", secrets.API_KEY_PEPPER)}`;
  await redis.cli.set(newer, record({ disabled: true }));
  assert.ok((await until(route, "key-c", 401)) < 1_000);
  await redis.cli.del(newer);
  assert.ok((await until(route, "key-c", 200)) < 1_000);
});

test("a frozen Redis is 503 with Retry-After for a key that has to be looked up, never 401", async () => {
  const services = await servicesOf();
  const route = await makeRoute({}, services);
  redis.freeze();
  try {
    const answer = await route.ask(withKey("new-to-us"));
    assert.equal(answer.status, 503);
    assert.equal(answer.error, "Service unavailable");
    assert.equal(answer.answerFields.get("retry-after"), "1");
  } finally {
    redis.thaw();
  }
  await until(route, "new-to-us", 401);
});

test("a Redis that takes seconds to answer is 503 well before that, and good again after", async () => {
  const services = await servicesOf();
  const route = await makeRoute({}, services);
  await put("slow-key");
  await redis.cli.call("CLIENT", "PAUSE", "4000", "ALL");
  const began = performance.now();
  assert.equal((await route.ask(withKey("slow-key"))).status, 503);
  assert.ok(performance.now() - began < 3_000);
  await until(route, "slow-key", 200);
});

test("while Redis is dead: deny answers 503, stale goes on with what was seen good within its bound", async () => {
  const own = await startRedis();
  try {
    await own.cli.set(`outrigger:apikey:${keyDigest("seen")}`, record());
    const services = await makeServices({ redisUrl: own.url });
    opened.push(services);
    const deny = await makeRoute({}, services);
    const stale = await makeRoute(
      { apiKeys: { onStoreError: "stale", staleSeconds: 100 } },
      services,
      deny.state,
    );
    await until(deny, "seen", 200);
    await until(stale, "seen", 200);
    await own.kill();
    await eventually("the store knows", () => services.store?.up === false);
    assert.equal((await deny.ask(withKey("seen"))).status, 503);
    assert.equal((await deny.ask(withKey("unseen"))).status, 503);
    assert.equal((await stale.ask(withKey("seen"))).status, 200);
    assert.equal((await stale.ask(withKey("unseen"))).status, 503);
    services.clock.forward(101_000);
    assert.equal((await stale.ask(withKey("seen"))).status, 503);
    // It comes back empty: the key is gone, and no cache may say otherwise.
    await own.restart();
    await until(stale, "seen", 401);
    await until(deny, "seen", 401);
  } finally {
    await own.close();
  }
});

test("routes that ask for a key at the same moment while Redis fails are answered by their own onStoreError", async () => {
  const services = await servicesOf();
  const deny = await makeRoute({}, services);
  const stale = await makeRoute({ apiKeys: { onStoreError: "stale" } }, services, deny.state);
  await put("shared");
  await until(deny, "shared", 200);
  for (const routes of [
    [stale, deny],
    [deny, stale],
  ]) {
    // It has to be confirmed again.
    services.clock.forward(61_000);
    await redis.cli.call("CLIENT", "PAUSE", "1000", "ALL");
    const answers = await Promise.all(routes.map((route) => route.ask(withKey("shared"))));
    assert.deepEqual(
      answers.map(({ status }) => status),
      routes.map((route) => (route === stale ? 200 : 503)),
    );
    await until(deny, "shared", 200);
  }
});

test("where Redis does not tell of changes, a revoked key is refused within a second all the same", async () => {
  await redis.cli.call("ACL", "SETUSER", "mute", "on", ">pw", "~*", "&*", "+@all", "-client|tracking");
  const url = redis.url.replace("redis://", "redis://mute:pw@");
  const services = await makeServices({ redisUrl: url, watches: false });
  opened.push(services);
  const route = await makeRoute({ guessing: false }, services);
  await put("plain-key");
  await until(route, "plain-key", 200);
  assert.ok((await route.ask(withKey("plain-key"))).plainly);
  await redis.cli.del(`outrigger:apikey:${keyDigest("plain-key")}`);
  assert.ok((await until(route, "plain-key", 401)) < 1_000);
});

test("too many bad credentials of one address are 429 before any look-up, and known callers go on", async () => {
  const services = await servicesOf();
  // Before it listens for changes: one that is heard late would make it forget the key while nobody is looked up.
  await put("good");
  await put("off", record({ id: "k-off", disabled: true }));
  const route = await makeRoute({ guessing: { failures: 5, windowSeconds: 60 } }, services);
  await eventually("the key is known", async () => (await route.ask(withKey("good"))).plainly);
  for (let i = 0; i < 5; i += 1) assert.equal((await route.ask(withKey(`guess-${i}`))).status, 401);
  await redis.cli.config("RESETSTAT");
  const limited = await route.ask(withKey("guess-6"));
  assert.equal(limited.status, 429);
  assert.match(limited.answerFields.get("retry-after") ?? "", /^(?:[1-5]?\d|60)$/);
  assert.equal(await gets(), 0);
  assert.equal((await route.ask(withKey("good"))).status, 200);
  assert.equal((await route.ask({ ...withKey("guess-7"), address: "192.0.2.99" })).status, 401);
  services.clock.forward(61_000);
  for (let i = 0; i < 5; i += 1) await route.ask(withKey(`more-${i}`));
  const confirmed = await route.ask(withKey("good"));
  assert.deepEqual([confirmed.status, confirmed.plainly], [200, false]);
  for (let i = 0; i < 5; i += 1) await route.ask({ ...withKey("off"), address: `192.0.2.1${i}` });
  assert.equal((await route.ask({ ...withKey("off"), address: "192.0.2.200" })).status, 429);
  services.clock.forward(61_000);
  assert.equal((await route.ask(withKey("guess-8"))).status, 401);
});

test("addresses of one IPv6 /64 are one guesser", async () => {
  const services = await servicesOf();
  const route = await makeRoute({ guessing: { failures: 2 } }, services);
  const from = async (address: string): Promise<number> =>
    (await route.ask({ ...withKey(`g-${address}`), address })).status;
  assert.equal(await from("2001:db8:1:2::1"), 401);
  assert.equal(await from("2001:db8:1:2:ffff::9"), 401);
  assert.equal(await from("2001:db8:1:2:1:2:3:4"), 429);
  assert.equal(await from("2001:db8:1:3::1"), 401);
});

test("the last use of a key is written once, under its id and this service", async () => {
  const services = await servicesOf({ service: "orders" });
  const route = await makeRoute({}, services);
  await put("plain-key");
  for (let i = 0; i < 50; i += 1) await until(route, "plain-key", 200);
  await route.state.usage.flush();
  const uses = await redis.cli.hgetall("outrigger:keyuse:k1");
  assert.deepEqual(Object.keys(uses), ["orders"]);
  assert.ok(Math.abs(Number(uses["orders"]) - Date.now()) < 10_000);
  assert.ok((await redis.cli.ttl("outrigger:keyuse:k1")) > 86_400);
  await redis.cli.del("outrigger:keyuse:k1");
  await until(route, "plain-key", 200);
  await route.state.usage.flush();
  assert.equal(await redis.cli.exists("outrigger:keyuse:k1"), 0);
});

test("outcomes are counted by method and result", async () => {
  const services = await servicesOf();
  const route = await makeRoute({ exclude: ["/health"] }, services);
  await put("plain-key");
  await route.ask(withKey("plain-key"));
  await route.ask(withKey("wrong"));
  await route.ask();
  await route.ask({ path: "/health" });
  const count = (method: string, result: string): Promise<number> =>
    series(services.metrics, "outrigger_auth_total", { method, result });
  assert.equal(await count("api-key", "allowed"), 1);
  assert.equal(await count("api-key", "refused"), 1);
  assert.equal(await count("none", "refused"), 1);
  assert.equal(await count("none", "excluded"), 1);
});
