// An issuer's keys over time: rotation, outage, stalls, floods of unknown key ids, and one fetch for many sidecars.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { eventually, startRedis, type RedisServer } from "../../support/redis.ts";
import { makeRoute, makeServices, withBearer, type Route, type TestServices } from "./harness.ts";
import { compact, makeSigningKey, TokenIssuer } from "./token-issuer.ts";

const storeKeys = randomBytes(32).toString("base64url");
let redis: RedisServer;
before(async () => {
  redis = await startRedis();
});
after(() => redis.close());

const optionsFor = (issuer: TokenIssuer, jwt: object = {}): object => ({
  guessing: false,
  jwt: { issuers: [{ issuer: issuer.url, jwksUri: issuer.jwksUri }], jwksTimeoutMs: 300, ...jwt },
});
const status = async (route: Route, token: string): Promise<number> =>
  (await route.ask(withBearer(token))).status;

/** One issuer and one sidecar before it. */
async function pair(jwt: object = {}): Promise<{
  issuer: TokenIssuer;
  route: Route;
  services: TestServices;
  close(): Promise<void>;
}> {
  const issuer = await TokenIssuer.start();
  const services = await makeServices();
  const route = await makeRoute(optionsFor(issuer, jwt), services);
  const close = async (): Promise<void> => {
    await route.close();
    issuer.close();
    services.close();
  };
  return { issuer, route, services, close };
}

test("keys are fetched once, before and not by each request", async () => {
  const { issuer, route, ...rest } = await pair();
  await eventually("warm", () => issuer.fetches === 1);
  const tokens = await Promise.all(Array.from({ length: 50 }, (_, i) => issuer.sign({ sub: `u${i}` })));
  const statuses = await Promise.all(tokens.map((token) => status(route, token)));
  assert.ok(statuses.every((each) => each === 200));
  assert.equal(issuer.fetches, 1);
  await rest.close();
});

test("discovery finds the keys, and a document of another issuer does not", async () => {
  const issuer = await TokenIssuer.start();
  const services = await makeServices();
  const good = await makeRoute({ jwt: { issuers: [{ issuer: issuer.url, discovery: true }] } }, services);
  assert.equal(await status(good, await issuer.sign()), 200);
  const alias = issuer.url.replace("127.0.0.1", "localhost");
  const bad = await makeRoute({ jwt: { issuers: [{ issuer: alias, discovery: true }] } }, services);
  assert.equal(await status(bad, await issuer.sign({ iss: alias })), 503);
  assert.match(await services.log(), /names another issuer/);
  await good.close();
  await bad.close();
  issuer.close();
});

test("a rotation under load fails no request, old and new key side by side", async () => {
  const { issuer, route, ...rest } = await pair();
  const seen: number[] = [];
  const old = issuer.keys[0];
  const load = async (): Promise<void> => {
    for (let i = 0; i < 40; i += 1) {
      const key = issuer.keys.length > 1 && i % 2 === 0 ? issuer.keys[1] : old;
      seen.push(
        await status(route, await issuer.sign({ jti: String(Math.random()) }, { ...(key && { key }) })),
      );
    }
  };
  const running = Promise.all(Array.from({ length: 8 }, load));
  await eventually("under load", () => seen.length > 50);
  await issuer.rotate("second", "keep");
  await running;
  assert.equal(seen.length, 320);
  assert.deepEqual([...new Set(seen)], [200]);
  assert.equal(issuer.fetches, 2);
  await rest.close();
});

test("a key that was rotated out takes the tokens verified with it along, and leaves the others", async () => {
  const { issuer, route, ...rest } = await pair();
  const kept = await issuer.rotate("kept", "keep");
  const [first] = issuer.keys;
  const goes = await issuer.sign({}, first && { key: first });
  const stays = await issuer.sign({}, { key: kept });
  assert.deepEqual([await status(route, goes), await status(route, stays)], [200, 200]);
  issuer.keys = [kept];
  const third = await issuer.rotate("third", "keep");
  assert.equal(
    await status(route, await issuer.sign({}, { key: third })),
    200,
    "the new key id causes a fetch",
  );
  assert.equal(await status(route, goes), 401);
  const answer = await route.ask(withBearer(stays));
  assert.deepEqual([answer.status, answer.plainly], [200, true]);
  await rest.close();
});

test("a flood of unknown key ids costs the issuer no more than its budget", async () => {
  const { issuer, route, services, ...rest } = await pair();
  await eventually("warm", () => issuer.fetches === 1);
  const claims = { iss: issuer.url, sub: "u1", exp: Math.floor(Date.now() / 1000) + 600 };
  for (let i = 0; i < 300; i += 1) {
    assert.equal(await status(route, compact({ alg: "ES256", kid: `k${i}` }, claims)), 401);
  }
  assert.equal(issuer.fetches, 4);
  services.clock.forward(10_001);
  await Promise.all(
    Array.from({ length: 50 }, (_, i) => status(route, compact({ alg: "ES256", kid: `x${i}` }, claims))),
  );
  assert.equal(issuer.fetches, 5);
  await rest.close();
});

test("while the issuer is down known keys go on, unknown ones are 503, and too old ones are too", async () => {
  const { issuer, route, services, ...rest } = await pair({
    jwksRefreshSeconds: 60,
    jwksMaxStaleSeconds: 600,
  });
  assert.equal(await status(route, await issuer.sign()), 200);
  for (const mode of ["failing", "stalling", "garbage"] as const) {
    issuer.mode = mode;
    assert.equal(await status(route, await issuer.sign({ jti: mode })), 200, mode);
    const unknown = await makeSigningKey(`new-${mode}`);
    assert.equal(await status(route, await issuer.sign({}, { key: unknown })), 503, mode);
  }
  services.clock.forward(661_000);
  const late = await issuer.sign({ exp: Math.floor(Date.now() / 1000) + 6_000 });
  assert.equal(await status(route, late), 503);
  issuer.mode = "well";
  services.clock.forward(60_000);
  assert.equal(await status(route, late), 200);
  await rest.close();
});

test("a remembered token outlives its issuer's keys no more than others do, unless the keys are seen again", async () => {
  const { issuer, route, services, ...rest } = await pair({
    jwksRefreshSeconds: 60,
    jwksMaxStaleSeconds: 600,
    cacheSeconds: 6_000,
  });
  const remembered = await issuer.sign({ exp: Math.floor(Date.now() / 1000) + 6_000 });
  const bare = await issuer.sign(
    { exp: Math.floor(Date.now() / 1000) + 6_000 },
    { header: { kid: undefined } },
  );
  for (const token of [remembered, bare]) assert.equal(await status(route, token), 200);
  issuer.mode = "failing";
  services.clock.forward(659_000);
  for (const token of [remembered, bare]) assert.equal(await status(route, token), 200);
  services.clock.forward(2_000);
  for (const token of [remembered, bare]) assert.equal(await status(route, token), 503);
  issuer.mode = "well";
  services.clock.forward(60_000);
  for (const token of [remembered, bare]) assert.equal(await status(route, token), 200);
  await rest.close();
});

test("an issuer that is down from the start is 503 with Retry-After, is not asked by every request, and comes back", async () => {
  const issuer = await TokenIssuer.start();
  issuer.mode = "failing";
  const services = await makeServices();
  const route = await makeRoute(optionsFor(issuer), services);
  const answers = [];
  for (let i = 0; i < 100; i += 1)
    answers.push(await route.ask(withBearer(await issuer.sign({ jti: String(i) }))));
  assert.ok(answers.every((answer) => answer.status === 503));
  assert.equal(answers[0]?.answerFields.get("retry-after"), "1");
  assert.ok(issuer.fetches < 5, `${issuer.fetches} fetches`);
  issuer.mode = "well";
  const token = await issuer.sign();
  await eventually("back by itself", async () => (await status(route, token)) === 200, 10_000);
  await route.close();
  issuer.close();
});

test("max-age of the key set brings the next fetch forward", async () => {
  const issuer = await TokenIssuer.start();
  issuer.maxAgeSeconds = 1;
  const services = await makeServices();
  const route = await makeRoute(optionsFor(issuer), services);
  await eventually("fetched again", () => issuer.fetches >= 2, 8_000);
  await route.close();
  issuer.close();
});

test("private keys, symmetric keys and junk in a key set verify nothing and break nothing", async () => {
  const { issuer, route, ...rest } = await pair();
  const good = issuer.keys[0];
  const oct = {
    kid: "oct",
    alg: "HS256",
    privateKey: good?.privateKey,
    jwk: { kty: "oct", kid: "oct", k: "AAAA" },
  };
  const odd = { kid: "odd", alg: "X", privateKey: good?.privateKey, jwk: { kty: "XX", kid: "odd" } };
  issuer.keys = [...issuer.keys, oct as (typeof issuer.keys)[0], odd as (typeof issuer.keys)[0]];
  assert.equal(await status(route, await issuer.sign()), 200);
  const claims = { iss: issuer.url, sub: "u1", exp: Math.floor(Date.now() / 1000) + 600 };
  assert.equal(await status(route, compact({ alg: "HS256", kid: "oct" }, claims)), 401);
  assert.equal(await status(route, compact({ alg: "ES256", kid: "odd" }, claims)), 401);
  await rest.close();
});

test("twenty sidecars ask the issuer once, and all hear of a rotation that one of them finds", async () => {
  const issuer = await TokenIssuer.start();
  const fleet = await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      makeServices({ redisUrl: redis.url, instance: `orders-${i}`, storeKeys }),
    ),
  );
  const routes = await Promise.all(
    fleet.map((services) => makeRoute(optionsFor(issuer, { jwksTimeoutMs: 5_000 }), services)),
  );
  const token = await issuer.sign();
  const first = await Promise.all(routes.map((route) => status(route, token)));
  assert.deepEqual([...new Set(first)], [200]);
  assert.equal(issuer.fetches, 1);
  const second = await issuer.rotate("second", "keep");
  const renewed = await issuer.sign({}, { key: second });
  const after = await Promise.all(routes.map((route) => status(route, renewed)));
  assert.deepEqual([...new Set(after)], [200]);
  assert.ok(issuer.fetches <= 3, `${issuer.fetches} fetches`);
  for (const route of routes) await route.close();
  for (const services of fleet) services.close();
  issuer.close();
});

test("keys in Redis serve a sidecar that starts while the issuer is down, if they were sealed", async () => {
  await redis.cli.flushall();
  const issuer = await TokenIssuer.start();
  const all: { services: TestServices; route: Route }[] = [];
  const open = async (keys?: string, service = "orders"): Promise<Route> => {
    const services = await makeServices({ redisUrl: redis.url, service, storeKeys: keys });
    const route = await makeRoute(optionsFor(issuer), services);
    all.push({ services, route });
    return route;
  };
  const token = await issuer.sign();
  assert.equal(await status(await open(), token), 200);
  assert.equal(await status(await open(), token), 200);
  assert.deepEqual(await redis.cli.keys("outrigger:jwks*"), [], "without keys nothing is shared");
  for (const { services } of all) {
    const said = (await services.log()).split("set OUTRIGGER_STORE_KEYS").length - 1;
    assert.equal(said, 1, "and that is said once");
  }
  assert.equal(await status(await open(storeKeys), token), 200);
  await eventually("shared", async () => (await redis.cli.keys("outrigger:jwks:orders:*")).length === 1);
  issuer.mode = "failing";
  const rotated = `${randomBytes(32).toString("base64url")},${storeKeys}`;
  assert.equal(await status(await open(storeKeys), token), 200);
  assert.equal(await status(await open(rotated), token), 200, "a key that is on its way out still opens");
  assert.equal(await status(await open(), token), 503);
  assert.equal(await status(await open(rotated.split(",")[0]), token), 503);
  assert.equal(await status(await open(storeKeys, "other"), token), 503, "each service for itself");
  for (const { route, services } of all) {
    await route.close();
    services.close();
  }
  issuer.close();
});

test("a frozen Redis holds up neither the first fetch nor a rotation", async () => {
  const own = await startRedis();
  const issuer = await TokenIssuer.start();
  const services = await makeServices({ redisUrl: own.url });
  own.freeze();
  const route = await makeRoute(optionsFor(issuer), services);
  assert.equal(await status(route, await issuer.sign()), 200);
  const second = await issuer.rotate("second", "keep");
  assert.equal(await status(route, await issuer.sign({}, { key: second })), 200);
  await route.close();
  services.close();
  await own.close();
  issuer.close();
});
