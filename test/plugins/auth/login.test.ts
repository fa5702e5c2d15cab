// Browser login against a real OpenID provider: the flow, its errors, refresh, logout, outage.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import * as fc from "fast-check";
import { JwksSource } from "../../../plugins/auth/issuers/jwks.ts";
import { authOptions } from "../../../plugins/auth/options.ts";
import { LogoutTokens } from "../../../plugins/auth/login/logout-token.ts";
import { Provider } from "../../../plugins/auth/login/provider.ts";
import { safeReturn } from "../../../plugins/auth/login/return-address.ts";
import { EndpointServer } from "../../support/endpoint-server.ts";
import { eventually, startRedis, type RedisServer } from "../../support/redis.ts";
import { Browser } from "./browser.ts";
import { exchangeFor, makeRoute, makeServices, type Route, type TestServices } from "./harness.ts";
import { makeSigningKey, TokenIssuer } from "./token-issuer.ts";
import { clientId, clientSecret, startOpenIdProvider, type OpenIdProvider } from "./openid-provider.ts";

const appUrl = "http://127.0.0.1:1";
const sessionKey = (): string => randomBytes(32).toString("base64url");
const key = sessionKey();
let redis: RedisServer;
let provider: OpenIdProvider;
const closing: (() => unknown)[] = [];

before(async () => {
  redis = await startRedis();
  provider = await startOpenIdProvider({ appUrl });
});
after(async () => {
  for (const close of closing) await close();
  provider.close();
  await redis.close();
});

const loginOptions = (login: object = {}): object => ({
  guessing: false,
  jwt: {
    login: {
      issuer: provider.url,
      clientId,
      clientSecret: "SECRET_SHOP",
      publicUrl: appUrl,
      cookieName: "app",
      secureCookie: false,
      ...login,
    },
  },
});

interface App {
  readonly services: TestServices;
  readonly route: Route;
}

async function makeApp(
  options: { login?: object; keys?: string; shared?: boolean; required?: boolean } = {},
): Promise<App> {
  const secrets = { SECRET_SHOP: clientSecret, SESSION_KEYS: options.keys ?? key };
  const services = await makeServices({ secrets, ...(options.shared === true && { redisUrl: redis.url }) });
  const policy = { ...loginOptions(options.login), required: options.required ?? true };
  const route = await makeRoute(policy, services);
  closing.push(async () => {
    await route.close();
    services.close();
  });
  return { services, route };
}

test("a page leads through the provider and back to itself, with an identity", async () => {
  const { route } = await makeApp();
  const browser = new Browser(appUrl);
  const page = await browser.follow(route, "/orders/7?tab=2");
  assert.equal(page.status, 200);
  assert.deepEqual(
    [page.identity?.userId, page.identity?.plan, page.identity?.method],
    ["ada", "pro", "session"],
  );
  assert.deepEqual([...browser.cookies().keys()], ["app.0"]);
  assert.equal(page.fields.has("cookie"), false, "the session is not the service's to see");
  const again = await browser.visit(route, "/orders/8");
  const third = await browser.visit(route, "/orders/9");
  assert.deepEqual([again.status, third.status, third.plainly], [200, 200, true]);
});

test("a session that has just begun and is not enough leads to no further login, which would bring the same", async () => {
  const { route: begins, services } = await makeApp();
  const staff = loginOptions({ requiredClaims: { staff: true } });
  const other = loginOptions({ publicUrl: "http://localhost:1", claims: { plan: "tier" } });
  for (const [options, because] of [
    [staff, "session: claim staff"],
    [other, "session: of another login"],
  ] as const) {
    const asks = await makeRoute(options, services, begins.state);
    closing.push(() => asks.close());
    // The login's own paths are on the other route.
    const site: Pick<Route, "ask"> = {
      ask: (ask) => (ask?.path === "/admin" ? asks : begins).ask(ask),
    };
    const browser = new Browser(appUrl);
    const page = await browser.follow(site, "/admin");
    assert.deepEqual([page.status, page.because], [401, because]);
    assert.equal((await browser.visit(site, "/")).status, 200, "it goes on where it is enough");
    services.clock.forward(91_000);
    const later = await browser.visit(site, "/admin");
    assert.match(later.answerFields.get("location") ?? "", /^\/oauth2\/login\?/, "it may be another one now");
    services.clock.aheadMs = 0;
  }
});

test("a session of a login whose cookie's name ends in this one's is not looked at", async () => {
  const { route: other, services } = await makeApp({ login: { cookieName: "my-app" } });
  const route = await makeRoute({ ...loginOptions(), required: false }, services, other.state);
  closing.push(() => route.close());
  const browser = new Browser(appUrl);
  assert.equal((await browser.follow(other, "/")).status, 200);
  const cookies = [...browser.cookies()].map((pair) => pair.join("=")).join("; ");
  assert.match(cookies, /^my-app\.0=/);
  // As the proxy takes out those of all routes.
  const exchange = exchangeFor({}, {});
  Object.assign(exchange.request, { ownedCookies: cookies });
  assert.equal(await route.hooks.onRequest?.(exchange), undefined, "nothing was shown here");
  assert.equal(exchange.identity, undefined);
});

test("the return address is kept, query and all", async () => {
  const { route } = await makeApp();
  const browser = new Browser(appUrl);
  const start = await browser.visit(route, "/a%20b?c=d&e=%2F");
  assert.equal(start.answerFields.get("location"), "/oauth2/login?return_to=%2Fa%2520b%3Fc%3Dd%26e%3D%252F");
  let location = start.answerFields.get("location") ?? "";
  const seen: string[] = [];
  for (let i = 0; i < 9 && location !== ""; i += 1) {
    seen.push(location);
    const url = new URL(location, appUrl);
    if (url.origin === appUrl)
      location = (await browser.visit(route, url.href)).answerFields.get("location") ?? "";
    else {
      const cookie = [...browser.cookies(url.origin)].map((pair) => pair.join("=")).join("; ");
      const response = await fetch(url, { redirect: "manual", headers: { cookie } });
      for (const line of response.headers.getSetCookie()) {
        const [pair = ""] = line.split(";");
        browser.cookies(url.origin).set(pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1));
      }
      location = new URL(response.headers.get("location") ?? "", url).href;
    }
  }
  assert.equal(seen.at(-1), "/a%20b?c=d&e=%2F");
});

test("a provider that takes authorization requests beforehand gets them so, each under a name that is good once", async (t) => {
  const pushing = await startOpenIdProvider({ appUrl, pushedRequests: "required" });
  t.after(() => pushing.close());
  for (const pushedRequests of ["auto", "off"]) {
    const { route } = await makeApp({ login: { issuer: pushing.url, pushedRequests } });
    const browser = new Browser(appUrl);
    const sent = new Set<string>();
    for (let count = 0; count < 2; count += 1) {
      const start = await browser.visit(route, "/oauth2/login?return_to=/orders");
      assert.equal(start.status, 302);
      const url = new URL(start.answerFields.get("location") ?? "");
      assert.deepEqual([...url.searchParams.keys()], ["client_id", "request_uri"]);
      sent.add(url.searchParams.get("request_uri") ?? "");
    }
    assert.equal(sent.size, 2);
    assert.equal((await browser.follow(route, "/orders")).identity?.userId, "ada");
  }
});

test("a pushed authorization request that fails is 503 with its reason in the log, and none is sent in the query", async (t) => {
  let answer: [number, unknown] = [400, { error: "invalid_request" }];
  let named = true;
  const endpoint = new EndpointServer((request, response) => {
    const { url } = endpoint;
    const metadata = { issuer: url, jwks_uri: `${url}/jwks`, authorization_endpoint: `${url}/auth` };
    const par = named ? { pushed_authorization_request_endpoint: `${url}/par` } : {};
    const [status, value] = request.url === "/par" ? answer : [200, { ...metadata, ...par }];
    response.writeHead(status).end(JSON.stringify(value));
  });
  await endpoint.listen();
  t.after(() => endpoint.close());
  const begin = async (pushedRequests = "auto"): Promise<unknown[]> => {
    const { route } = await makeApp({ login: { issuer: endpoint.url, pushedRequests } });
    const { status, because, answerFields } = await new Browser(appUrl).visit(route, "/oauth2/login");
    return [
      status,
      because ?? answerFields.get("location")?.replace(/\?.*/, ""),
      answerFields.has("set-cookie"),
    ];
  };
  const par = "login: the endpoint for pushed authorization requests";
  assert.deepEqual(await begin(), [503, `${par} answered 400 (invalid_request)`, false]);
  answer = [500, "\u0000"];
  assert.deepEqual(await begin(), [503, `${par} answered 500 (no error code)`, false]);
  answer = [201, { request_uri: "" }];
  assert.deepEqual(await begin(), [503, `${par} gave no request_uri`, false]);
  assert.deepEqual(await begin("off"), [302, `${endpoint.url}/auth`, true]);
  named = false;
  assert.deepEqual(await begin(), [302, `${endpoint.url}/auth`, true]);
  const missing = "login: the provider names no endpoint for pushed authorization requests";
  assert.deepEqual(await begin("require"), [503, missing, false]);
});

test("whoever begins many logins at once keeps nobody else from a pushed authorization request", async (t) => {
  const held = Promise.withResolvers<void>();
  let asked = 0;
  const endpoint = new EndpointServer((request, response) => {
    const { url } = endpoint;
    const endpoints = {
      authorization_endpoint: `${url}/auth`,
      pushed_authorization_request_endpoint: `${url}/par`,
    };
    const metadata = { issuer: url, jwks_uri: `${url}/jwks`, ...endpoints };
    if (request.url !== "/par") return void response.end(JSON.stringify(metadata));
    asked += 1;
    return void held.promise.then(() => response.writeHead(201).end('{"request_uri":"urn:a"}'));
  });
  await endpoint.listen();
  t.after(() => endpoint.close());
  const { route } = await makeApp({ login: { issuer: endpoint.url } });
  let answered = 0;
  const begin = (address: string) =>
    route.ask({ path: "/oauth2/login", address }).finally(() => (answered += 1));
  const many = Array.from({ length: 100 }, () => begin("198.51.100.1"));
  await eventually("all places are taken", () => asked === 16 && answered === 52);
  const other = begin("203.0.113.1");
  held.resolve();
  assert.equal((await other).status, 302);
  const statuses = (await Promise.all(many)).map(({ status }) => status);
  assert.equal(statuses.filter((status) => status === 302).length, 48, "16, and 32 that wait");
});

test("cookies are HttpOnly, SameSite, and Secure under a __Host- name by default", async () => {
  const { route } = await makeApp({ login: { cookieName: undefined, secureCookie: undefined } });
  const start = await route.ask({ path: "/oauth2/login" });
  const [flow = "", mark = ""] = start.answerFields.getAll("set-cookie");
  const rest = "Max-Age=600; HttpOnly; SameSite=Lax; Secure$";
  assert.match(
    flow,
    new RegExp(`^__Secure-outrigger\\.flow\\.[0-3]=[\\w.-]+; Path=/oauth2/callback; ${rest}`),
  );
  assert.match(mark, new RegExp(`^__Host-outrigger\\.login\\.[0-3]=[\\w.-]{50,60}; Path=/; ${rest}`));
});

test("scripts and programs get 401 and no redirect", async () => {
  const { route } = await makeApp();
  const cases = [
    [],
    ["Accept", "application/json"],
    ["Accept", "text/html", "X-Requested-With", "XMLHttpRequest"],
    ["Accept", "text/html", "Sec-Fetch-Mode", "cors"],
  ];
  for (const fields of cases) assert.equal((await route.ask({ fields })).status, 401, String(fields));
  assert.equal((await route.ask({ method: "POST", fields: ["Sec-Fetch-Mode", "navigate"] })).status, 401);
  assert.equal((await route.ask({ upgrade: "websocket", fields: ["Accept", "text/html"] })).status, 401);
  assert.equal((await route.ask({ fields: ["Accept", "text/html,*/*;q=0.8"] })).status, 302);
});

test("a callback that this browser did not start, or twice, or with another state or issuer, is 401", async () => {
  const { route } = await makeApp();
  const browser = new Browser(appUrl);
  const start = await browser.visit(route, "/oauth2/login");
  const state = new URL(start.answerFields.get("location") ?? "").searchParams.get("state") ?? "";
  const callback = async (query: string, who = browser): Promise<number> =>
    (await who.visit(route, `/oauth2/callback?${query}`)).status;
  assert.equal(await callback(`code=x&state=${state}`, new Browser(appUrl)), 401);
  assert.equal(await callback("code=x&state=other"), 401);
  assert.equal(await callback("code=x"), 401);
  assert.equal(await callback(""), 401);
  const mixedUp = await browser.visit(
    route,
    `/oauth2/callback?code=x&state=${state}&iss=https%3A%2F%2Fevil.example`,
  );
  assert.deepEqual([mixedUp.status, mixedUp.because], [401, "login: answer of another issuer"]);
  assert.equal(await callback(`code=x&state=${state}`), 401, "this provider says that it names itself");
  const own = `iss=${encodeURIComponent(provider.url)}`;
  assert.equal(await callback(`code=x&state=${state}&${own}&${own}`), 401);
  assert.equal(await callback(`code=x&code=y&state=${state}&${own}`), 401);
  assert.equal(await callback(`error=access_denied&state=${state}&${own}`), 401);
  assert.equal(await callback(`code=made-up&state=${state}`), 401);
  // The provider itself says that it cannot tell now.
  const late = await browser.visit(route, "/oauth2/login");
  const lateState = new URL(late.answerFields.get("location") ?? "").searchParams.get("state") ?? "";
  for (const error of ["server_error", "temporarily_unavailable"])
    assert.equal(await callback(`error=${error}&state=${lateState}&${own}`), 503, error);
  assert.equal(await callback(`error=server_error&state=other&${own}`), 401);
});

test("a callback that is loaded twice at once is one login, whose session the provider refreshes", async () => {
  const { route, services } = await makeApp({ login: { refreshBeforeSeconds: 590 } });
  const browser = new Browser(appUrl);
  let next = new URL("/orders", appUrl);
  while (next.pathname !== "/oauth2/callback") {
    const address =
      next.origin === appUrl
        ? ((await browser.visit(route, next.href)).answerFields.get("location") ?? "")
        : await browser.leave(next);
    next = new URL(address, appUrl);
  }
  const both = await Promise.all([browser.visit(route, next.href), browser.visit(route, next.href)]);
  assert.deepEqual(
    both.map(({ status, answerFields }) => [status, answerFields.get("location")]),
    [
      [302, "/orders"],
      [302, "/orders"],
    ],
  );
  services.clock.forward(11_000);
  assert.equal((await browser.visit(route, "/orders", [])).status, 200);
});

test("an ID token of another login, client, issuer, key or time is none of ours", async () => {
  const issuer = await TokenIssuer.start();
  const { services } = await makeServices();
  const settings = {
    refreshMs: 60_000,
    maxStaleMs: 60_000,
    cooldownMs: 1_000,
    timeoutMs: 1_000,
    share: false,
  };
  const keys = new JwksSource({ ...settings, issuer: issuer.url, jwksUri: issuer.jwksUri }, services);
  const facts = { issuer: issuer.url, clientId, publicUrl: appUrl };
  const options = authOptions.parse({ jwt: { login: facts } }).jwt?.login;
  assert.ok(options);
  const client = new Provider(options, services, keys);
  const good = { aud: clientId, nonce: "n-1" };
  assert.equal((await client.verifyIdToken(await issuer.sign(good), "n-1")).claims["sub"], "u1");
  const other = await makeSigningKey("first-ES256");
  const bad: [string, Promise<string>][] = [
    ["nonce", issuer.sign({ ...good, nonce: "n-2" })],
    ["nonce", issuer.sign({ ...good, nonce: undefined })],
    ["audience", issuer.sign({ ...good, aud: "other" })],
    ["authorized party", issuer.sign({ ...good, aud: [clientId, "other"], azp: "other" })],
    ["issuer", issuer.sign({ ...good, iss: "https://evil.example" })],
    ["expired", issuer.sign({ ...good, exp: 1_000_000 })],
    ["signature", issuer.sign(good, { key: other })],
    ["authorized party", issuer.sign({ ...good, aud: [clientId, "other"] })],
    ["too old", issuer.sign({ ...good, iat: Math.floor(Date.now() / 1000) - 100 * 86_400 })],
    ["too old", issuer.sign({ ...good, iat: undefined })],
    ["malformed", Promise.resolve("x.y")],
  ];
  for (const [because, token] of bad) {
    await assert.rejects(client.verifyIdToken(await token, "n-1"), (error: Error) => {
      assert.equal(error.name, "GrantRefused");
      assert.match(error.message, new RegExp(because));
      return true;
    });
  }
  keys.close();
  issuer.close();
});

test("a provider's token by a new key is not refused while strangers' key ids use up the look-ups", async (t) => {
  const issuer = await TokenIssuer.start();
  const { services } = await makeServices();
  const limits = {
    refreshMs: 60_000,
    maxStaleMs: 60_000,
    cooldownMs: 10_000,
    timeoutMs: 1_000,
    share: false,
  };
  const keys = new JwksSource({ ...limits, issuer: issuer.url, jwksUri: issuer.jwksUri }, services);
  t.after(() => {
    keys.close();
    issuer.close();
  });
  const facts = { issuer: issuer.url, clientId, publicUrl: appUrl };
  const options = authOptions.parse({ jwt: { login: facts } }).jwt?.login;
  assert.ok(options);
  const client = new Provider(options, services, keys);
  const logouts = new LogoutTokens(options, keys, services.clock);
  await keys.refresh();
  for (let stranger = 0; stranger < 3; stranger += 1) await keys.keysFor(`k${stranger}`);
  const key = await issuer.rotate("second", "keep");
  const idToken = await issuer.sign({ aud: clientId }, { key });
  await assert.rejects(client.verifyIdToken(idToken, undefined), { name: "ProviderDown" });
  const events = { "http://schemas.openid.net/event/backchannel-logout": {} };
  const logoutToken = await issuer.sign({ aud: clientId, jti: "j", events }, { key });
  assert.equal(await logouts.verify(logoutToken), undefined, "the provider is to send it again");
  await keys.refresh();
  assert.equal((await client.verifyIdToken(idToken, undefined)).claims["sub"], "u1");
  assert.ok(await logouts.verify(logoutToken));
});

test("a cookie that was changed, moved between names, or sealed by a stranger is no session", async () => {
  const { route } = await makeApp();
  const browser = new Browser(appUrl);
  await browser.follow(route, "/");
  const good = browser.cookies().get("app.0") ?? "";
  const start = await new Browser(appUrl).visit(route, "/oauth2/login");
  const flow = (start.answerFields.getAll("set-cookie")[0] ?? "").split(";")[0]?.split("=")[1] ?? "";
  const stranger = await makeApp({ keys: sessionKey() });
  const foreign = new Browser(appUrl);
  await foreign.follow(stranger.route, "/");
  for (const value of [`${good.slice(0, -2)}AA`, "x", "", flow, foreign.cookies().get("app.0") ?? ""]) {
    const answer = await route.ask({ fields: ["Cookie", `app.0=${value}`] });
    assert.equal(answer.status, 401, value.slice(0, 20));
  }
  const twice = await route.ask({ fields: ["Cookie", `app.0=${good}; app.0=${good}`] });
  assert.equal(twice.status, 401);
  assert.equal((await route.ask({ fields: ["Cookie", `app.0=${good}`] })).status, 200);
});

test("a dead session is taken from the browser, which then logs in anew", async () => {
  const { route, services } = await makeApp({ login: { sessionSeconds: 120 } });
  const browser = new Browser(appUrl);
  await browser.follow(route, "/");
  services.clock.forward(121_000);
  const answer = await browser.visit(route, "/");
  assert.equal(answer.status, 302);
  assert.equal(browser.cookies().size, 0);
});

test("a session that is too old for one route goes on at those that take it for longer", async () => {
  const { route, services } = await makeApp();
  const short = await makeRoute(loginOptions({ sessionSeconds: 120 }), services, route.state);
  closing.push(() => short.close());
  const browser = new Browser(appUrl);
  await browser.follow(route, "/");
  services.clock.forward(121_000);
  assert.equal((await browser.visit(short, "/", [])).status, 401);
  assert.equal((await browser.visit(route, "/", [])).status, 200);
  assert.equal((await browser.follow(short, "/")).status, 200, "by another login");
});

test("keys rotate: a new one in front, the old one still opens", async () => {
  const { route } = await makeApp();
  const browser = new Browser(appUrl);
  await browser.follow(route, "/");
  const rotated = await makeApp({ keys: `${sessionKey()},${key}` });
  assert.equal((await browser.visit(rotated.route, "/")).status, 200);
  const later = await makeApp({ keys: sessionKey() });
  assert.equal((await browser.visit(later.route, "/")).status, 302);
  for (const keys of ["", "short", `${key},short`]) {
    await assert.rejects(makeApp({ keys }), /OUTRIGGER_SESSION_KEYS must hold keys of 32 bytes/);
  }
});

test("tokens are refreshed before they end, and the browser gets the new session", async () => {
  const { route, services } = await makeApp();
  const browser = new Browser(appUrl);
  await browser.follow(route, "/");
  const before = browser.cookies().get("app.0");
  services.clock.forward(545_000);
  const refreshed = await browser.visit(route, "/");
  assert.equal(refreshed.status, 200);
  assert.notEqual(browser.cookies().get("app.0"), before);
  const count = provider.refreshes();
  assert.equal((await browser.visit(route, "/")).status, 200);
  assert.equal(provider.refreshes(), count);
});

test("routes that share a login refresh a session once, and so does the login of a new policy", async () => {
  const { route, services } = await makeApp();
  const strict = { requiredClaims: { sub: "ada" } };
  const other = await makeRoute(loginOptions(strict), services, route.state);
  closing.push(() => other.close());
  const browser = new Browser(appUrl);
  assert.equal((await browser.follow(route, "/")).status, 200);
  const cookie = ["Cookie", `app.0=${browser.cookies().get("app.0")}`];
  const refreshes = provider.refreshes();
  services.clock.forward(545_000);
  const answers = await Promise.all([route, other].map((each) => each.ask({ fields: cookie })));
  assert.deepEqual(
    answers.map(({ status }) => status),
    [200, 200],
  );
  const later = await makeRoute(loginOptions({ sessionSeconds: 7_200 }), services, route.state);
  closing.push(() => later.close());
  assert.equal((await later.ask({ fields: cookie })).status, 200, "a request that was on its way");
  assert.equal(provider.refreshes(), refreshes + 1);
});

test("a session that is refreshed where it is not enough reaches the browser, and goes on elsewhere", async () => {
  const app = await makeApp();
  const strict = await makeApp({ login: { requiredClaims: { plan: "gold" } } });
  const browser = new Browser(appUrl);
  assert.equal((await browser.follow(app.route, "/")).status, 200);
  for (const { services } of [app, strict]) services.clock.forward(545_000);
  const refreshes = provider.refreshes();
  const refused = await browser.visit(strict.route, "/", []);
  assert.deepEqual([refused.status, refused.because], [401, "session: claim plan"]);
  assert.equal(provider.refreshes(), refreshes + 1);
  assert.equal((await browser.visit(app.route, "/", [])).status, 200);
  assert.equal(provider.refreshes(), refreshes + 1, "it has got the refreshed one");
});

test("two sidecars with many requests at once refresh a session once, and nobody is logged out", async () => {
  const own = await startOpenIdProvider({ appUrl, accessTokenSeconds: 3_600 });
  const login = { issuer: own.url, refreshBeforeSeconds: 3_500 };
  const apps = [await makeApp({ shared: true, login }), await makeApp({ shared: true, login })] as const;
  const browser = new Browser(appUrl);
  await browser.follow(apps[0].route, "/");
  for (let round = 1; round <= 3; round += 1) {
    for (const { services } of apps) services.clock.forward(101_000);
    const cookie = [...browser.cookies()].map((pair) => pair.join("=")).join("; ");
    const asks = Array.from({ length: 20 }, (_, i) =>
      apps[i % 2 === 0 ? 0 : 1].route.ask({ fields: ["Cookie", cookie] }),
    );
    const answers = await Promise.all(asks);
    assert.deepEqual(
      new Set(answers.map(({ status, because }) => `${status} ${because}`)),
      new Set(["200 undefined"]),
    );
    assert.equal(own.refreshes(), round);
    // A late request with the old cookie, then the browser goes on with the new one.
    assert.equal((await browser.visit(apps[1].route, "/")).status, 200);
    assert.equal((await browser.visit(apps[0].route, "/")).status, 200);
    assert.equal(own.refreshes(), round);
  }
  own.close();
});

test("a refresh whose result Redis does not take still reaches the browser", async () => {
  const rights = ["~outrigger:session-lease:*", "~outrigger:session-ended:*", "%R~*", "&*", "+@all"];
  await redis.cli.call("ACL", "SETUSER", "limited", "on", ">secret", ...rights);
  const redisUrl = redis.url.replace("//", "//limited:secret@");
  const secrets = { SECRET_SHOP: clientSecret, SESSION_KEYS: key };
  const services = await makeServices({ secrets, redisUrl });
  const route = await makeRoute(loginOptions({ refreshBeforeSeconds: 590 }), services);
  closing.push(async () => {
    await route.close();
    services.close();
  });
  const browser = new Browser(appUrl);
  await browser.follow(route, "/");
  for (let round = 0; round < 2; round += 1) {
    services.clock.forward(11_000);
    const before = browser.cookies().get("app.0");
    assert.equal((await browser.visit(route, "/")).status, 200);
    assert.notEqual(browser.cookies().get("app.0"), before);
  }
});

test("with the provider down a session goes on to the end of its tokens, then is 503 and never 401", async () => {
  const { route, services } = await makeApp();
  const browser = new Browser(appUrl);
  await browser.follow(route, "/");
  provider.down = true;
  try {
    services.clock.forward(545_000);
    assert.equal((await browser.visit(route, "/")).status, 200);
    services.clock.forward(60_000);
    const answer = await browser.visit(route, "/");
    assert.deepEqual([answer.status, answer.answerFields.get("retry-after")], [503, "1"]);
    const fresh = await makeApp();
    assert.equal((await new Browser(appUrl).follow(fresh.route, "/")).status, 503);
  } finally {
    provider.down = false;
  }
  assert.equal((await browser.visit(route, "/")).status, 200);
});

test("a refresh that the provider refuses ends the session", async () => {
  const own = await startOpenIdProvider({ appUrl });
  const { route, services } = await makeApp({ login: { issuer: own.url } });
  const browser = new Browser(appUrl);
  await browser.follow(route, "/");
  const other = new Browser(appUrl);
  for (const [name, value] of browser.cookies()) other.cookies().set(name, value);
  services.clock.forward(545_000);
  await browser.visit(route, "/");
  // The same refresh token used again elsewhere, out of the fleet's sight: rotation takes it for theft.
  const outside = await makeApp({ login: { issuer: own.url } });
  outside.services.clock.forward(545_000);
  assert.equal((await other.visit(outside.route, "/", [])).status, 401);
  own.close();
});

test("a logout ends the session at every sidecar and at the provider, also for a copied cookie", async () => {
  const apps = [await makeApp({ shared: true }), await makeApp({ shared: true })] as const;
  const browser = new Browser(appUrl);
  await browser.follow(apps[0].route, "/");
  const copied = [...browser.cookies()].map((pair) => pair.join("=")).join("; ");
  assert.equal((await apps[1].route.ask({ fields: ["Cookie", copied] })).status, 200);
  const out = await browser.visit(apps[0].route, "/oauth2/logout", ["Origin", appUrl], "POST");
  assert.equal(out.status, 303);
  const url = new URL(out.answerFields.get("location") ?? "");
  assert.equal(url.origin, provider.url);
  assert.equal(url.searchParams.get("post_logout_redirect_uri"), `${appUrl}/`);
  assert.notEqual(url.searchParams.get("id_token_hint"), null);
  assert.equal(browser.cookies().size, 0);
  assert.equal((await apps[0].route.ask({ fields: ["Cookie", copied] })).status, 401);
  const began = performance.now();
  while ((await apps[1].route.ask({ fields: ["Cookie", copied] })).status === 200)
    assert.ok(performance.now() - began < 5_000);
});

test("a logout that cannot read its session clears the cookie, and never says that the session has ended", async () => {
  const home = await makeApp();
  const elsewhere = await makeApp({ keys: sessionKey() });
  const silent = await makeApp({ login: { issuer: "http://127.0.0.1:9" } });
  for (const twice of [false, true]) {
    const browser = new Browser(appUrl);
    await browser.follow(home.route, "/");
    const copied = [...browser.cookies()].map((pair) => pair.join("=")).join("; ");
    const leave = async ({ route }: App) => {
      const fields = ["Cookie", twice ? `${copied}; ${copied}` : copied, "Origin", appUrl];
      const answer = await route.ask({ method: "POST", path: "/oauth2/logout", fields });
      assert.match(answer.answerFields.get("set-cookie") ?? "", /^app\.0=; Path=\/; Max-Age=0;/);
      return answer;
    };
    const sent = await leave(twice ? home : elsewhere);
    const url = new URL(sent.answerFields.get("location") ?? "", appUrl);
    assert.deepEqual([sent.status, url.origin], [303, provider.url]);
    assert.deepEqual([...url.searchParams.keys()], ["client_id", "post_logout_redirect_uri"]);
    const untold = await leave(silent);
    assert.deepEqual(
      [untold.status, untold.because],
      [503, "logout: its session cannot be read here, and so was not ended"],
    );
    assert.equal((await home.route.ask({ fields: ["Cookie", copied] })).status, 200);
  }
});

test("tabs that are restored all at once find their way back to their pages", async () => {
  const { route } = await makeApp();
  const browser = new Browser(appUrl);
  await browser.follow(route, "/");
  browser.cookies().clear();
  const pages = Array.from({ length: 8 }, (_, i) => `/board/${i}`);
  const first = await Promise.all(pages.map((page) => browser.follow(route, page)));
  const answers = await Promise.all(
    first.map(async (answer) => {
      const waitsFor = /^1; url=(.+)$/.exec(answer.answerFields.get("refresh") ?? "")?.[1];
      return waitsFor === undefined ? answer : await browser.follow(route, waitsFor);
    }),
  );
  assert.deepEqual(
    answers.map(({ status, identity, because }) => [status, identity?.userId, because]),
    pages.map(() => [200, "ada", undefined]),
  );
  assert.deepEqual(
    [...browser.cookies().keys()].filter((name) => name.includes(".flow.")),
    [],
  );
});

test("a login that is lost is begun once more while another is under way here, and then no more", async () => {
  const { route } = await makeApp();
  const browser = new Browser(appUrl);
  await browser.visit(route, "/oauth2/login");
  const lose = async (address: string): Promise<[number, string]> => {
    const begun = await new Browser(appUrl).visit(route, address);
    const state = new URL(begun.answerFields.get("location") ?? "").searchParams.get("state") ?? "";
    const answer = await browser.visit(route, `/oauth2/callback?code=x&state=${state}`);
    return [answer.status, answer.answerFields.get("refresh")?.replace("1; url=", "") ?? ""];
  };
  const [status, location] = await lose("/oauth2/login?return_to=/board/1");
  assert.deepEqual([status, location], [200, "/oauth2/login?again=1&return_to=%2Fboard%2F1"]);
  assert.deepEqual(await lose(location), [401, ""]);
  const made = await browser.visit(route, "/oauth2/callback?code=x&state=1.x.y");
  assert.equal(made.status, 401);
});

test("a logout is a POST of the own origin or the user's own click there; any other page load asks first", async () => {
  const { route } = await makeApp();
  const browser = new Browser(appUrl);
  await browser.follow(route, "/");
  const page = ["Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"];
  const link = (site: string): string[] => [...page, "Sec-Fetch-Site", site, "Sec-Fetch-User", "?1"];
  const cases: [method: string, fields: string[], status: number][] = [
    ["POST", ["Origin", "https://evil.example"], 403],
    ["POST", ["Origin", "null", "Sec-Fetch-Site", "cross-site"], 403],
    ["POST", ["Sec-Fetch-Site", "same-site"], 403],
    ["POST", [], 403],
    ["GET", link("cross-site"), 200],
    ["GET", link("same-site"), 200],
    ["GET", link("none"), 200],
    ["GET", [...page, "Sec-Fetch-Site", "same-origin"], 200],
    ["GET", ["Accept", "text/html"], 200],
    ["GET", ["Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "no-cors"], 405],
    ["GET", [], 405],
    ["DELETE", ["Origin", appUrl], 405],
  ];
  for (const [method, fields, status] of cases) {
    const answer = await browser.visit(route, "/oauth2/logout", fields, method);
    assert.equal(answer.status, status, `${method} ${fields.join(" ")}`);
    assert.equal((await browser.visit(route, "/")).status, 200, `${method} ${fields.join(" ")}`);
  }
  const asked = await browser.visit(route, "/oauth2/logout", link("same-site"));
  assert.match(asked.answerFields.get("content-security-policy") ?? "", /frame-ancestors 'none'/);
  assert.equal((await browser.visit(route, "/oauth2/logout", link("same-origin"))).status, 303);
  assert.equal((await browser.visit(route, "/")).status, 302);
});

test("where no login is required a visitor stays anonymous, and a session is used when there is one", async () => {
  const { route } = await makeApp({ required: false });
  const browser = new Browser(appUrl);
  assert.deepEqual(
    [(await browser.visit(route, "/")).status, (await browser.visit(route, "/")).identity],
    [200, undefined],
  );
  assert.equal((await browser.follow(route, "/oauth2/login?return_to=/x")).identity?.userId, "ada");
});

test("a large session is kept in several cookies and read again", async () => {
  const { CookieSealer } = await import("../../../plugins/auth/sessions/cookie-sealer.ts");
  const { readChunks, writeChunks } = await import("../../../plugins/auth/sessions/cookies.ts");
  const sealer = new CookieSealer(key, "KEYS");
  const sealed = await sealer.seal("session", { text: "x".repeat(6_000) });
  const lines = writeChunks({ name: "app", secure: true }, sealed, 60);
  assert.ok(lines.every((line) => line.length < 4_096));
  const cookie = lines.map((line) => line.split(";")[0]).join("; ");
  assert.equal(readChunks(cookie, "app"), sealed);
  assert.equal(await sealer.open("login", sealed), undefined, "sealed for another purpose");
  assert.throws(() => writeChunks({ name: "app", secure: true }, "x".repeat(20_000), 60), /too long/);
});

test("no return address leaves the origin, whatever it looks like", () => {
  const origin = "https://app.example";
  const evil = [
    "//evil.example",
    "/\\evil.example",
    "https://evil.example",
    "/\t/evil.example",
    "\\\\evil",
    "javascript:1",
  ];
  evil.push(
    "/%09/evil.example/..//evil",
    "",
    " /x",
    "/x\r\nSet-Cookie: a=b",
    "/a/../../..//evil.example",
    "/./\\evil",
  );
  for (const address of evil) {
    const kept = safeReturn(address, origin);
    assert.equal(new URL(kept, origin).origin, origin, address);
    assert.match(kept, /^\/(?![/\\])/, address);
  }
  assert.equal(safeReturn("/orders/7?tab=2", origin), "/orders/7?tab=2");
  const parts = fc.constantFrom(
    "/",
    "\\",
    ".",
    "..",
    "evil.example",
    ":",
    "@",
    "%2f",
    "%5c",
    "?",
    "#",
    "\t",
    "\n",
    "a",
    "//",
  );
  fc.assert(
    fc.property(fc.array(parts, { maxLength: 8 }), (pieces) => {
      const kept = safeReturn(pieces.join(""), origin);
      assert.equal(new URL(kept, origin).origin, origin);
      assert.match(kept, /^\/(?![/\\])/);
    }),
    { numRuns: 2_000 },
  );
});
