// Opaque tokens at a real authorization server, and at one that misbehaves.
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { makeRoute, makeServices, withBearer, type Route, type TestServices } from "./harness.ts";
import { clientId, clientSecret, startOpenIdProvider, type OpenIdProvider } from "./openid-provider.ts";

let provider: OpenIdProvider;
let services: TestServices;

before(async () => {
  provider = await startOpenIdProvider({ appUrl: "http://127.0.0.1:1" });
  services = await makeServices({ secrets: { SECRET_SHOP: clientSecret, SECRET_WRONG: "wrong" } });
});
after(() => {
  provider.close();
  services.close();
});

const optionsFor = (endpoint: string, facts: object = {}): object => ({
  guessing: false,
  jwt: {
    introspection: {
      endpoint,
      clientId,
      clientSecret: "SECRET_SHOP",
      claims: { userId: "client_id" },
      timeoutMs: 2_000,
      ...facts,
    },
  },
});

const basic = `Basic ${Buffer.from(`${clientId}:${encodeURIComponent(clientSecret).replaceAll("%20", "+")}`).toString("base64")}`;
async function post(path: string, form: Record<string, string>): Promise<Response> {
  return await fetch(`${provider.url}${path}`, {
    method: "POST",
    headers: { authorization: basic },
    body: new URLSearchParams(form),
  });
}
/** A real opaque access token. */
async function accessToken(): Promise<string> {
  const response = await post("/token", { grant_type: "client_credentials" });
  const { access_token: token } = (await response.json()) as { access_token: string };
  return token;
}

test("an active token is taken, remembered, and forgotten in time when it is revoked", async () => {
  const route = await makeRoute(optionsFor(`${provider.url}/token/introspection`), services);
  const token = await accessToken();
  const answer = await route.ask(withBearer(token));
  assert.deepEqual([answer.status, answer.because], [200, undefined]);
  assert.deepEqual([answer.identity?.userId, answer.identity?.method], [clientId, "introspection"]);
  assert.ok((await route.ask(withBearer(token))).plainly);
  await post("/token/revocation", { token });
  services.clock.forward(30_001);
  assert.equal((await route.ask(withBearer(token))).error, "Invalid or expired token");
  services.clock.aheadMs = 0;
  await route.close();
});

test("a made-up token is 401 and remembered as such", async () => {
  const route = await makeRoute(optionsFor(`${provider.url}/token/introspection`), services);
  for (const token of ["made-up", "x.y", "a".repeat(100)]) {
    assert.equal((await route.ask(withBearer(token))).because, "token: not active");
    assert.deepEqual([(await route.ask(withBearer(token))).plainly], [true]);
  }
  for (const token of ["", "a b", "ü", "a,b", "x".repeat(9_000)]) {
    const answer = await route.ask(withBearer(token));
    assert.deepEqual([answer.status, answer.plainly], [401, true], token.slice(0, 10));
  }
  await route.close();
});

test("wrong credentials of our own are 503 for the caller and in the log, never 401", async () => {
  const endpoint = `${provider.url}/token/introspection`;
  const route = await makeRoute(optionsFor(endpoint, { clientSecret: "SECRET_WRONG" }), services);
  assert.equal((await route.ask(withBearer(await accessToken()))).status, 503);
  assert.match(await services.log(), /token introspection answered what cannot be used/);
  await assert.rejects(
    makeRoute(optionsFor(endpoint, { clientSecret: "SECRET_NONE" }), services),
    /SECRET_NONE is not set/,
  );
  await route.close();
});

/** An endpoint that answers as the test says; counts the questions. */
async function endpointOf(
  answer: (response: http.ServerResponse) => void,
): Promise<{ url: string; asked: () => number; close: () => void }> {
  let asked = 0;
  const server = http.createServer((_request, response) => {
    asked += 1;
    answer(response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const close = (): void => {
    server.closeAllConnections();
    server.close();
  };
  return { url, asked: () => asked, close };
}
const claim = (route: Route, token = "t"): Promise<{ status: number; because: string | undefined }> =>
  route.ask(withBearer(token));

test("an endpoint that fails, stalls or babbles is 503, and nothing of that is remembered", async () => {
  let mode = 0;
  const bodies: ((response: http.ServerResponse) => void)[] = [
    (response) => response.writeHead(500).end(),
    () => undefined,
    (response) => response.end("<html>"),
    (response) => response.end('{"active":"true"}'),
    (response) => response.writeHead(302, { location: "https://evil.example" }).end(),
    (response) => response.end(JSON.stringify({ active: true, client_id: "x".repeat(100_000) })),
    // Two readers could take it for two things.
    (response) => response.end('{"active":false,"client_id":"c","active":true}'),
    (response) => response.end('{"active":true,"client_id":"c","a":{"b":1,"b":2}}'),
    (response) => response.destroy(),
  ];
  const endpoint = await endpointOf((response) => bodies[mode]?.(response));
  const route = await makeRoute(optionsFor(endpoint.url), services);
  for (mode = 0; mode < bodies.length; mode += 1)
    assert.equal((await claim(route)).status, 503, String(mode));
  bodies.push((response) => response.end('{"active":true,"client_id":"c"}'));
  assert.equal((await claim(route)).status, 200);
  endpoint.close();
  await route.close();
});

test("answers are held to exp, nbf, issuer, audience, required claims and types", async () => {
  let answer: object = {};
  const endpoint = await endpointOf((response) =>
    response.end(JSON.stringify({ active: true, client_id: "c", ...answer })),
  );
  const facts = { issuer: "https://id.example", audience: ["api"], requiredClaims: { tenant: "acme" } };
  const route = await makeRoute(optionsFor(endpoint.url, facts), services);
  const now = Math.floor(Date.now() / 1000);
  const good = { iss: "https://id.example", aud: "api", tenant: "acme", exp: now + 5 };
  const cases: [object, string | undefined][] = [
    [{}, undefined],
    [{ exp: now - 1 }, "token: not active"],
    [{ nbf: now + 60 }, "token: not active"],
    [{ iss: "https://other.example" }, "token: issuer"],
    [{ aud: ["x"] }, "token: audience"],
    [{ tenant: "other" }, "token: claim tenant"],
    [{ client_id: 7 }, "token: claim client_id"],
    [{ active: false }, "token: not active"],
  ];
  for (const [index, [change, because]] of cases.entries()) {
    answer = { ...good, ...change };
    assert.equal((await claim(route, `t${index}`)).because, because, JSON.stringify(change));
  }
  answer = good;
  services.clock.forward(6_000);
  assert.equal((await claim(route, "t0")).status, 401, "never past exp");
  services.clock.aheadMs = 0;
  endpoint.close();
  await route.close();
});

test("a token that is not yet valid by our clock is asked about again once it is", async () => {
  const nbf = Math.ceil(services.clock.now() / 1000) + 2;
  const endpoint = await endpointOf((response) =>
    response.end(JSON.stringify({ active: true, client_id: "c", nbf })),
  );
  const route = await makeRoute(optionsFor(endpoint.url), services);
  assert.equal((await claim(route)).status, 401);
  assert.equal((await claim(route)).status, 401);
  assert.equal(endpoint.asked(), 1);
  services.clock.forward(3_000);
  assert.equal((await claim(route)).status, 200);
  services.clock.aheadMs = 0;
  endpoint.close();
  await route.close();
});

test("one token asked about many times at once is one question", async () => {
  const endpoint = await endpointOf((response) => response.end('{"active":true,"client_id":"c"}'));
  const route = await makeRoute(optionsFor(endpoint.url), services);
  await Promise.all(Array.from({ length: 50 }, () => claim(route)));
  assert.equal(endpoint.asked(), 1);
  endpoint.close();
  await route.close();
});

test("what is remembered of tokens weighs what the server said of them, however short they are", async () => {
  const groups = Array.from({ length: 400 }, (_, index) => `group-of-people-${index}`);
  const endpoint = await endpointOf((response) =>
    response.end(JSON.stringify({ active: true, client_id: "c", groups })),
  );
  const options = optionsFor(endpoint.url) as { jwt: object };
  const route = await makeRoute({ ...options, jwt: { ...options.jwt, cacheBytes: 65_536 } }, services);
  for (let count = 0; count < 2; count += 1)
    for (let index = 0; index < 20; index += 1) assert.equal((await claim(route, `t${index}`)).status, 200);
  assert.equal(endpoint.asked(), 40, "more than eight of 8 KB do not fit into 64 KB");
  endpoint.close();
  await route.close();
});
