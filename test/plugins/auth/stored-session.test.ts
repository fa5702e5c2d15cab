// Sessions in Redis while Redis is not available, and what stays valid over a refresh.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { eventually, startRedis, type RedisServer } from "../../support/redis.ts";
import { EndpointServer } from "../../support/endpoint-server.ts";
import { Browser } from "./browser.ts";
import { providerSessionMark, userMark } from "../../../plugins/auth/sessions/session-marks.ts";
import { RevokedSessions, type SessionStart } from "../../../plugins/auth/sessions/revoked-sessions.ts";
import { makeRoute, makeServices, type Route, type TestServices } from "./harness.ts";
import { clientId, clientSecret, startOpenIdProvider, type OpenIdProvider } from "./openid-provider.ts";
import { TokenIssuer } from "./token-issuer.ts";

const appUrl = "http://127.0.0.1:1";
const secrets = { SECRET_SHOP: clientSecret, SESSION_KEYS: randomBytes(32).toString("base64url") };
let provider: OpenIdProvider;
before(async () => {
  provider = await startOpenIdProvider({ appUrl });
});
after(() => provider.close());

const optionsFor = (login: object, issuer = provider.url, jwt: object = {}): object => ({
  guessing: false,
  jwt: {
    ...jwt,
    login: {
      issuer,
      clientId,
      clientSecret: "SECRET_SHOP",
      publicUrl: appUrl,
      cookieName: "app",
      secureCookie: false,
      ...login,
    },
  },
});

async function withRedis(
  work: (redis: RedisServer, services: TestServices, route: Route) => Promise<void>,
): Promise<void> {
  const redis = await startRedis();
  const services = await makeServices({ secrets, redisUrl: redis.url });
  const route = await makeRoute(optionsFor({ sessions: "redis" }), services);
  try {
    await work(redis, services, route);
  } finally {
    await route.close();
    services.close();
    await redis.close();
  }
}

test("without Redis neither sessions there nor back-channel logout are set up", async () => {
  const services = await makeServices({ secrets });
  await assert.rejects(makeRoute(optionsFor({ sessions: "redis" }), services), /"redis" needs REDIS_URL/);
  const told = optionsFor({ backchannelLogoutPath: "/oauth2/told" });
  await assert.rejects(makeRoute(told, services), /backchannelLogoutPath needs REDIS_URL/);
  services.close();
});

test("while Redis hangs a session there is 503 and no 401, a login too, and both come back", async () => {
  await withRedis(async (redis, _services, route) => {
    const browser = new Browser(appUrl);
    assert.equal((await browser.follow(route, "/")).status, 200);
    redis.freeze();
    const cookie = `app.0=${browser.cookies().get("app.0")}`;
    // What is known is believed while changes are heard; then it is asked about.
    const status = async (): Promise<number> => (await route.ask({ fields: ["Cookie", cookie] })).status;
    await eventually("nobody can tell", async () => (await status()) === 503, 20_000);
    const answer = await route.ask({ fields: ["Cookie", cookie] });
    assert.deepEqual([answer.status, answer.answerFields.get("retry-after")], [503, "1"]);
    assert.equal(answer.answerFields.has("set-cookie"), false, "the browser keeps its ticket");
    const late = new Browser(appUrl);
    let page = (await late.visit(route, "/oauth2/login")).answerFields.get("location") ?? "";
    while (!page.startsWith(appUrl)) page = await late.leave(new URL(page));
    const back = await late.visit(route, page);
    assert.deepEqual([back.status, back.because], [503, "login: redis is out of reach"]);
    redis.thaw();
    await eventually("back", async () => (await status()) === 200, 20_000);
    assert.equal((await late.visit(route, page)).status, 302, "the code was not spent in vain");
  });
});

test("a session is in reach of the provider's logout while it begins, and after a refresh that leaves out sid", async (t) => {
  const issuer = await TokenIssuer.start();
  let idToken: (url: string) => Promise<string> = () => Promise.resolve("");
  const endpoint = new EndpointServer((request, response) => {
    const { url } = endpoint;
    const ends = { authorization_endpoint: `${url}/authorize`, token_endpoint: `${url}/token` };
    const metadata = { issuer: url, jwks_uri: `${url}/jwks`, ...ends };
    if (request.url === "/jwks") response.end(issuer.jwks());
    else if (request.url !== "/token") response.end(JSON.stringify(metadata));
    else
      void idToken(url).then((id_token) =>
        response.end(JSON.stringify({ id_token, refresh_token: "r", expires_in: "600" })),
      );
  });
  await endpoint.listen();
  t.after(() => {
    endpoint.close();
    issuer.close();
  });
  await withRedis(async (redis, services) => {
    const login = { sessions: "redis", sessionSeconds: 7_200 };
    const route = await makeRoute(optionsFor(login, endpoint.url), services);
    const browser = new Browser(appUrl);
    const begun = await browser.visit(route, "/oauth2/login");
    const asked = new URL(begun.answerFields.get("location") ?? "").searchParams;
    const claims = (): object => {
      const now = Math.floor(services.clock.now() / 1000);
      return { iss: endpoint.url, aud: clientId, iat: now, exp: now + 3_600 };
    };
    const mark = (sid: string): string =>
      `outrigger:session-ended:${providerSessionMark({ issuer: endpoint.url, clientId }, sid)}`;
    const callback = `/oauth2/callback?code=x&state=${asked.get("state")}`;
    const first = { ...claims(), nonce: asked.get("nonce") };
    idToken = async () => {
      await redis.cli.set(mark("s-0"), String(services.clock.now()));
      return await issuer.sign({ ...first, sid: "s-0" });
    };
    // The provider's word came while the code was exchanged: the session is of before.
    const early = new Browser(appUrl);
    for (const [name, value] of browser.cookies()) early.cookies().set(name, value);
    assert.equal((await early.visit(route, callback)).status, 302);
    const late = ["Cookie", `app.0=${early.cookies().get("app.0")}`];
    assert.equal((await route.ask({ fields: late })).status, 401);
    idToken = () => issuer.sign({ ...first, sid: "s-1" });
    const page = await browser.visit(route, callback);
    assert.deepEqual([page.status, page.because], [302, undefined]);
    const fields = ["Cookie", `app.0=${browser.cookies().get("app.0")}`];
    idToken = () => issuer.sign(claims() as Record<string, unknown>);
    services.clock.forward(545_000);
    const refreshed = await route.ask({ fields });
    assert.deepEqual([refreshed.status, refreshed.because], [200, undefined]);
    await redis.cli.set(mark("s-1"), String(services.clock.now()));
    await eventually("ended", async () => (await route.ask({ fields })).status === 401, 4_000);
    await route.close();
  });
});

test("while nobody can verify refreshed ID tokens a session ends with 503 and not with a logout, and comes back", async (t) => {
  const issuer = await TokenIssuer.start();
  let [key] = issuer.keys;
  let keysDown = false;
  let nonce: string | null = null;
  let grants = 0;
  let babbles = false;
  const endpoint = new EndpointServer((request, response) => {
    const { url } = endpoint;
    const ends = { authorization_endpoint: `${url}/authorize`, token_endpoint: `${url}/token` };
    if (request.url === "/jwks") response.writeHead(keysDown ? 500 : 200).end(keysDown ? "" : issuer.jwks());
    else if (request.url !== "/token")
      response.end(JSON.stringify({ issuer: url, jwks_uri: `${url}/jwks`, ...ends }));
    else if (babbles) response.end('{"error":"server_error"}');
    else void text(request).then((form) => answer(new URLSearchParams(form), response));
  });
  // Each refresh token is good once.
  const answer = async (form: URLSearchParams, response: ServerResponse): Promise<void> => {
    const shown = form.get("refresh_token");
    if (shown !== null && shown !== `r${grants}`) {
      response.writeHead(400).end('{"error":"invalid_grant"}');
      return;
    }
    grants += 1;
    const now = Math.floor(services.clock.now() / 1000);
    const claims = { iss: endpoint.url, aud: clientId, iat: now, exp: now + 600, nonce };
    const id_token = await issuer.sign(claims, key && { key });
    response.end(JSON.stringify({ id_token, refresh_token: `r${grants}`, expires_in: 600 }));
  };
  await endpoint.listen();
  const services = await makeServices({ secrets });
  const route = await makeRoute(optionsFor({}, endpoint.url), services);
  t.after(async () => {
    await route.close();
    services.close();
    endpoint.close();
    issuer.close();
  });
  const browser = new Browser(appUrl);
  const begun = await browser.visit(route, "/oauth2/login");
  const asked = new URL(begun.answerFields.get("location") ?? "").searchParams;
  nonce = asked.get("nonce");
  await browser.visit(route, `/oauth2/callback?code=x&state=${asked.get("state")}`);
  const status = async (): Promise<number> => (await browser.visit(route, "/", [])).status;
  assert.equal(await status(), 200);
  [key, keysDown] = [await issuer.rotate("second", "keep"), true];
  services.clock.forward(545_000);
  assert.deepEqual([await status(), await status()], [200, 200], "to the end of its tokens");
  services.clock.forward(60_000);
  assert.deepEqual([await status(), await status()], [503, 503]);
  keysDown = false;
  services.clock.forward(30_000);
  assert.equal(await status(), 200);
  babbles = true;
  services.clock.forward(605_000);
  assert.deepEqual([await status(), await status()], [503, 503], "no token, though the answer is 200");
  babbles = false;
  assert.equal(await status(), 200);
});

test("keys that come late keep nobody from the one refresh, which other sidecars wait for", async (t) => {
  const redis = await startRedis();
  const issuer = await TokenIssuer.start();
  let [key] = issuer.keys;
  let nonce: string | null = null;
  let grants = 0;
  let reused = 0;
  const held: (() => void)[] = [];
  let holdsKeys = false;
  const endpoint = new EndpointServer((request, response) => {
    const { url } = endpoint;
    const ends = { authorization_endpoint: `${url}/authorize`, token_endpoint: `${url}/token` };
    const giveKeys = (): unknown => response.end(issuer.jwks());
    if (request.url === "/jwks") void (holdsKeys ? held.push(giveKeys) : giveKeys());
    else if (request.url !== "/token")
      response.end(JSON.stringify({ issuer: url, jwks_uri: `${url}/jwks`, ...ends }));
    else void text(request).then((form) => answer(new URLSearchParams(form), response));
  });
  // Each refresh token is good once.
  const answer = async (form: URLSearchParams, response: ServerResponse): Promise<void> => {
    const shown = form.get("refresh_token");
    if (shown !== null && shown !== `r${grants}`) {
      reused += 1;
      response.writeHead(400).end('{"error":"invalid_grant"}');
      return;
    }
    grants += 1;
    const now = Math.floor(one.services.clock.now() / 1000);
    const claims = { iss: endpoint.url, aud: clientId, iat: now, exp: now + 600, nonce };
    const id_token = await issuer.sign(claims, key && { key });
    response.end(JSON.stringify({ id_token, refresh_token: `r${grants}`, expires_in: 600 }));
  };
  await endpoint.listen();
  const opened: (() => Promise<void>)[] = [];
  const open = async (): Promise<{ services: TestServices; route: Route }> => {
    const services = await makeServices({ secrets, redisUrl: redis.url });
    const route = await makeRoute(
      optionsFor({ timeoutMs: 1_000 }, endpoint.url, { jwksTimeoutMs: 10_000 }),
      services,
    );
    opened.push(async () => {
      await route.close();
      services.close();
    });
    return { services, route };
  };
  const [one, other] = [await open(), await open()];
  t.after(async () => {
    for (const close of opened) await close();
    endpoint.close();
    issuer.close();
    await redis.close();
  });
  const browser = new Browser(appUrl);
  const begun = await browser.visit(one.route, "/oauth2/login");
  const asked = new URL(begun.answerFields.get("location") ?? "").searchParams;
  nonce = asked.get("nonce");
  await browser.visit(one.route, `/oauth2/callback?code=x&state=${asked.get("state")}`);
  const fields = ["Cookie", `app.0=${browser.cookies().get("app.0")}`];
  key = await issuer.rotate("second", "keep");
  holdsKeys = true;
  for (const { services } of [one, other]) services.clock.forward(545_000);
  const first = one.route.ask({ fields });
  await eventually("its refresh token is spent", () => grants === 2);
  const answers = await Promise.all([first, other.route.ask({ fields })]);
  assert.deepEqual(
    answers.map(({ status, because }) => [status, because]),
    [
      [200, undefined],
      [200, undefined],
    ],
  );
  assert.equal(reused, 0);
  holdsKeys = false;
  for (const give of held) give();
});

for (const [ms, what] of [
  [-300_000, "ahead"],
  [300_000, "behind"],
] as const)
  test(`with the clock of Redis five minutes ${what}, an end is of the sessions before it`, async () => {
    await withRedis(async (_redis, { services, clock }) => {
      clock.forward(ms);
      const revoked = new RevokedSessions(services);
      const before = await revoked.start(true);
      await revoked.revoke("sub.ada");
      const ends = (start: SessionStart): Promise<boolean> => revoked.lookUp(["sub.ada"], start);
      assert.equal(await ends(before), true);
      // What begins in the millisecond of the end is ended, too.
      let after = before;
      await eventually("a session of a later millisecond goes on", async () => {
        after = await revoked.start(true);
        return !(await ends(after));
      });
      assert.ok(Math.abs(after.startedMs - clock.now()) < 60_000, "a life is measured by the clock here");
      revoked.close();
    });
  });

test("with the clock of Redis behind, a session that has begun is ended by an end of all", async () => {
  await withRedis(async (_redis, services, route) => {
    services.clock.forward(300_000);
    const browser = new Browser(appUrl);
    assert.equal((await browser.follow(route, "/")).status, 200);
    const fields = ["Cookie", `app.0=${browser.cookies().get("app.0")}`];
    const revoked = new RevokedSessions(services.services);
    await revoked.revoke(userMark("ada"));
    await eventually("ended", async () => (await route.ask({ fields })).status === 401);
    await browser.follow(route, "/");
    assert.equal((await browser.visit(route, "/", [])).status, 200);
    revoked.close();
  });
});
