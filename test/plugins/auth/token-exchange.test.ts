// The token that a service gets instead of its caller's: from a real provider, and from endpoints that misbehave.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { createRemoteJWKSet, jwtVerify } from "jose";
import { authOptions } from "../../../plugins/auth/options.ts";
import { EndpointServer } from "../../support/endpoint-server.ts";
import { Browser } from "./browser.ts";
import { exchangeAudience } from "./exchange-grant.ts";
import { makeRoute, makeServices, series, withBearer, type Answer, type TestServices } from "./harness.ts";
import { clientId, clientSecret, startOpenIdProvider, type OpenIdProvider } from "./openid-provider.ts";
import { TokenIssuer } from "./token-issuer.ts";

const appUrl = "http://127.0.0.1:1";
const secrets = { SECRET_SHOP: clientSecret, SESSION_KEYS: randomBytes(32).toString("base64url") };
const client = { clientId, clientSecret: "SECRET_SHOP" };
let provider: OpenIdProvider;
let issuer: TokenIssuer;
let services: TestServices;
/** What the endpoint answers, and what it was asked. */
let answer: (form: URLSearchParams) => [status: number, value: unknown] | undefined;
let endpoint: EndpointServer;

before(async () => {
  provider = await startOpenIdProvider({ appUrl });
  issuer = await TokenIssuer.start();
  services = await makeServices({ secrets });
  endpoint = new EndpointServer((request, response) => {
    let text = "";
    request.on("data", (chunk: Buffer) => void (text += chunk.toString()));
    request.on("end", () => {
      const [status, value] = answer(new URLSearchParams(text)) ?? [0, undefined];
      if (status !== 0) response.writeHead(status).end(JSON.stringify(value));
    });
  });
  await endpoint.listen();
});
after(() => {
  endpoint.close();
  issuer.close();
  provider.close();
  services.close();
});

/** A route that takes the issuer's tokens and has them exchanged at the endpoint. */
const routeAt = (more: object = {}, rest: object = {}): ReturnType<typeof makeRoute> =>
  makeRoute(
    {
      guessing: false,
      jwt: { issuers: [{ issuer: issuer.url, jwksUri: issuer.jwksUri }] },
      tokenExchange: { tokenEndpoint: endpoint.url, ...client, audience: ["orders"], ...more },
      ...rest,
    },
    services,
  );
const issued = (token: string, more: object = {}): [number, unknown] => [
  200,
  {
    access_token: token,
    issued_token_type: "urn:ietf:params:oauth:token-type:access_token",
    token_type: "Bearer",
    expires_in: 100,
    ...more,
  },
];
const given = ({ status, fields, because }: Answer): unknown[] => [
  status,
  fields.get("authorization"),
  because,
];

test("the service gets a token made for it, for a bearer token as for a session, asked for once", async () => {
  const login = {
    issuer: provider.url,
    ...client,
    publicUrl: appUrl,
    cookieName: "app",
    secureCookie: false,
  };
  const introspection = { endpoint: `${provider.url}/token/introspection`, ...client };
  const tokenExchange = {
    issuer: provider.url,
    ...client,
    audience: [exchangeAudience],
    scopes: ["profile"],
    actor: {},
  };
  const jwt = { login: { ...login, keepAccessToken: true }, introspection };
  const route = await makeRoute({ guessing: false, jwt, tokenExchange }, services);
  const keys = createRemoteJWKSet(new URL(`${provider.url}/jwks`));
  const inside = async ({ fields }: Answer): Promise<unknown> => {
    const token = fields.get("authorization")?.replace(/^Bearer /, "") ?? "";
    const { payload } = await jwtVerify(token, keys, { audience: exchangeAudience, issuer: provider.url });
    assert.deepEqual(payload["act"], { sub: clientId }, "who acts for the caller");
    return payload.sub;
  };
  const browser = new Browser(appUrl);
  const page = await browser.follow(route, "/");

  assert.deepEqual([page.status, await inside(page), provider.exchanges()], [200, "ada", 1]);
  const next = await browser.visit(route, "/");
  assert.deepEqual([next.plainly, await inside(next), provider.exchanges()], [true, "ada", 1]);
  // The same access token as a program would show it.
  const subject = await accessTokenOf(browser, jwt.login);
  const asked = await route.ask(withBearer(subject));
  assert.deepEqual(
    [asked.identity?.method, asked.fields.get("authorization")],
    ["introspection", next.fields.get("authorization")],
  );
  await route.close();
});

/** What the session of this browser keeps, read by the keys it is sealed with. */
async function accessTokenOf(browser: Browser, login: object): Promise<string> {
  const { CookieSealer } = await import("../../../plugins/auth/sessions/cookie-sealer.ts");
  const { SessionSeal } = await import("../../../plugins/auth/sessions/session-seal.ts");
  const options = authOptions.parse({ jwt: { login } }).jwt?.login;
  assert.ok(options);
  const seal = new SessionSeal(new CookieSealer(secrets.SESSION_KEYS, "SESSION_KEYS"), options);
  const session = await seal.fromBrowser(browser.cookies().get("app.0") ?? "");
  assert.ok(session !== undefined && "accessToken" in session && session.accessToken !== undefined);
  return session.accessToken;
}

test("a session that keeps no access token is begun anew, and is no way in without one", async () => {
  const facts = {
    issuer: provider.url,
    ...client,
    publicUrl: appUrl,
    cookieName: "app",
    secureCookie: false,
  };
  const before = await makeRoute({ guessing: false, jwt: { login: facts } }, services);
  const browser = new Browser(appUrl);
  assert.equal((await browser.follow(before, "/")).status, 200);
  const jwt = { login: { ...facts, keepAccessToken: true } };
  const tokenExchange = { issuer: provider.url, ...client, audience: [exchangeAudience] };
  const now = await makeRoute({ guessing: false, jwt, tokenExchange }, services);
  const script = await browser.visit(now, "/", []);
  assert.deepEqual([script.status, script.because], [401, "session: keeps no access token to exchange"]);
  const page = await browser.follow(now, "/");
  assert.equal(
    page.status,
    401,
    "one that has just begun would be begun in circles, where another route begins it",
  );
  services.clock.forward(91_000);
  assert.equal((await browser.follow(now, "/")).status, 200);
  services.clock.aheadMs = 0;
  await before.close();
  await now.close();
});

test("what is asked is by section 2.1, once for many at a time, and again when either token ends", async () => {
  const forms: URLSearchParams[] = [];
  answer = (form) => {
    forms.push(form);
    return issued(`for-${forms.length}`);
  };
  const route = await routeAt({
    audience: ["orders", "stock"],
    resource: ["https://a.example/"],
    scopes: ["r", "w"],
  });
  const now = Math.floor(services.clock.now() / 1000);
  const token = await issuer.sign({ exp: now + 150 });
  const many = await Promise.all(Array.from({ length: 20 }, () => route.ask(withBearer(token))));
  for (const each of many) assert.deepEqual(given(each), [200, "Bearer for-1", undefined]);
  assert.deepEqual(
    [...(forms[0] ?? [])],
    [
      ["grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"],
      ["subject_token", token],
      ["subject_token_type", "urn:ietf:params:oauth:token-type:access_token"],
      ["requested_token_type", "urn:ietf:params:oauth:token-type:access_token"],
      ["audience", "orders"],
      ["audience", "stock"],
      ["resource", "https://a.example/"],
      ["scope", "r w"],
    ],
  );
  services.clock.forward(89_000);
  assert.equal(given(await route.ask(withBearer(token)))[1], "Bearer for-1");
  services.clock.forward(2_000);
  assert.equal(given(await route.ask(withBearer(token)))[1], "Bearer for-2", "the service's ends soon");
  services.clock.forward(66_000);
  assert.equal((await route.ask(withBearer(token))).status, 401, "the caller's is over");
  assert.equal(
    await series(services.metrics, "outrigger_auth_token_exchanges_total", { result: "issued" }),
    4,
  );
  services.clock.aheadMs = 0;
  await route.close();
});

test("the sidecar's own token goes along as the actor's, one for all callers, anew where it is good no more", async () => {
  const forms: URLSearchParams[] = [];
  let good = "actor-1";
  answer = (form) => {
    forms.push(form);
    if (form.get("grant_type") === "client_credentials")
      return [200, { access_token: good, token_type: "bearer", expires_in: 3_600 }];
    if (form.get("actor_token") !== good) return [400, { error: "invalid_request" }];
    return issued(`for-${forms.length}`);
  };
  const route = await routeAt({
    actor: { scopes: ["act"], resource: ["https://id.example/"] },
    cacheSeconds: 0,
  });
  const actors = (): unknown[] => forms.map((form) => form.get("actor_token"));
  const tokens = await Promise.all([1, 2, 3].map((jti) => issuer.sign({ jti: `${jti}` })));
  const many = await Promise.all(tokens.map((token) => route.ask(withBearer(token))));
  assert.deepEqual(
    many.map(({ status }) => status),
    [200, 200, 200],
  );
  assert.deepEqual(actors(), [null, "actor-1", "actor-1", "actor-1"]);
  assert.deepEqual(
    [...(forms[0] ?? [])],
    [
      ["grant_type", "client_credentials"],
      ["resource", "https://id.example/"],
      ["scope", "act"],
    ],
  );
  assert.equal(forms[1]?.get("actor_token_type"), "urn:ietf:params:oauth:token-type:access_token");
  // The server forgets it, and is asked for no other more often than every ten seconds.
  good = "actor-2";
  const [token = ""] = tokens;
  assert.equal((await route.ask(withBearer(token))).status, 403, "it was just made");
  services.clock.forward(11_000);
  assert.equal((await route.ask(withBearer(token))).status, 200);
  assert.deepEqual(actors().slice(4), ["actor-1", "actor-1", null, "actor-2"]);
  // Many find out at once.
  good = "actor-3";
  services.clock.forward(11_000);
  const others = await Promise.all([11, 12, 13, 14].map((jti) => issuer.sign({ jti: `${jti}` })));
  const together = await Promise.all(others.map((each) => route.ask(withBearer(each))));
  assert.deepEqual(new Set(together.map(({ status }) => status)), new Set([200]));
  assert.equal(
    actors()
      .slice(8)
      .filter((actor) => actor === null).length,
    1,
    "one asks for all",
  );
  // A caller's token that is bad does not cost the sidecar its own.
  const asked = forms.length;
  answer = (form) => (forms.push(form), [400, { error: "invalid_grant" }]);
  assert.equal((await route.ask(withBearer(await issuer.sign({ jti: "4" })))).status, 403);
  assert.equal(forms.length, asked + 1);
  for (const bad of [
    [401, { error: "invalid_client" }],
    issued("a b"),
    issued("t", { token_type: "DPoP" }),
    [200, 1],
  ]) {
    answer = (form) =>
      form.get("grant_type") === "client_credentials" ? (bad as [number, unknown]) : issued("for-nobody");
    const none = await routeAt({ actor: {} });
    assert.equal((await none.ask(withBearer(token))).status, 503);
    await none.close();
  }
  answer = () => issued("actor-4");
  const same = await routeAt({ actor: {} });
  assert.equal((await same.ask(withBearer(token))).status, 503, "the actor's token is not for the service");
  await same.close();
  const log = await services.log();
  assert.ok(!/actor-\d/.test(log) && log.includes("gave no actor token: 401 (invalid_client)"));
  services.clock.aheadMs = 0;
  await route.close();
});

test("the actor's token can be a secret, which only its server gets", async () => {
  let form = new URLSearchParams();
  answer = (asked) => ((form = asked), issued("for-orders"));
  const ended = await issuer.sign({ exp: 1_000 });
  const own = await makeServices({ secrets: { ...secrets, SECRET_ACTOR: "a.b.c", SECRET_ENDED: ended } });
  const options = (actor: object): object => ({
    guessing: false,
    jwt: { issuers: [{ issuer: issuer.url, jwksUri: issuer.jwksUri }] },
    tokenExchange: { tokenEndpoint: endpoint.url, ...client, audience: ["orders"], actor },
  });
  const route = await makeRoute(options({ token: "SECRET_ACTOR", tokenType: "jwt" }), own);
  assert.equal(given(await route.ask(withBearer(await issuer.sign())))[1], "Bearer for-orders");
  assert.deepEqual(
    [form.get("actor_token"), form.get("actor_token_type")],
    ["a.b.c", "urn:ietf:params:oauth:token-type:jwt"],
  );
  await route.close();
  answer = () => [400, { error: "invalid_grant" }];
  // Which of the two tokens is bad, the server does not say; this one says it itself.
  for (const [secret, status] of [
    ["SECRET_ACTOR", 403],
    ["SECRET_ENDED", 503],
  ] as const) {
    const refusing = await makeRoute(options({ token: secret, tokenType: "jwt" }), own);
    assert.equal((await refusing.ask(withBearer(await issuer.sign()))).status, status, secret);
    await refusing.close();
  }
  assert.ok((await own.log()).includes("tokenExchange.actor.token: SECRET_ENDED has ended"));
  await assert.rejects(makeRoute(options({ token: "SECRET_NONE" }), own), /tokenExchange\.actor\.token: /);
  own.close();
});

test("what the server denies is 403, what it cannot say is 503, and nothing of the caller's goes on or into the log", async () => {
  const token = await issuer.sign();
  answer = () => [400, { error: "invalid_target", error_description: token }];
  const denied = await routeAt();
  const asked = endpoint.asked;
  for (let count = 0; count < 2; count += 1) {
    const { status, error, because } = await denied.ask(withBearer(token));
    assert.deepEqual([status, error], [403, "Forbidden"]);
    assert.match(because ?? "", count === 0 ? /^token exchange: invalid_target$/ : /refused a moment ago/);
  }
  assert.equal(endpoint.asked, asked + 1);
  const useless: Record<string, [number, unknown] | undefined> = {
    "a client that is not known": [401, { error: "invalid_client" }],
    "another error": [400, { error: "unsupported_grant_type" }],
    "too many": [429, {}],
    "too many, by a name that denies elsewhere": [429, { error: "access_denied" }],
    "no JSON": [200, undefined],
    "no token": issued("t", { access_token: undefined }),
    "two fields": issued("a\r\nX-Admin: 1"),
    "the caller's own": issued(token),
    "another type": issued("t", { issued_token_type: "urn:ietf:params:oauth:token-type:refresh_token" }),
    "one that is bound": issued("t", { token_type: "DPoP" }),
    silence: undefined,
  };
  for (const [name, value] of Object.entries(useless)) {
    answer = () => value;
    const route = await routeAt({ timeoutMs: 100, cacheSeconds: 0, clientAuth: "post" });
    const { status, answerFields, because } = await route.ask(withBearer(token));
    assert.deepEqual([status, answerFields.get("retry-after")], [503, "1"], name);
    assert.match(because ?? "", /token endpoint gives no answer to go by/, name);
    await route.close();
  }
  const log = await services.log();
  assert.ok(!log.includes(token) && !log.includes(clientSecret) && log.includes("could not be exchanged"));
  await denied.close();
});

test("a server that fails is left in peace, and callers without a token come without Authorization", async () => {
  answer = () => [500, {}];
  const route = await routeAt({ cacheSeconds: 0 }, { required: false });
  const asked = endpoint.asked;
  for (let count = 0; count < 30; count += 1)
    assert.equal((await route.ask(withBearer(await issuer.sign({ jti: `${count}` })))).status, 503);
  assert.ok(endpoint.asked - asked < 15, `asked ${endpoint.asked - asked} times`);
  const anonymous = await route.ask({ fields: ["Authorization", "Basic YTpi"] });
  assert.deepEqual(given(anonymous), [200, undefined, undefined]);
  await route.close();
});

test("options that would give the service the caller's token, or nothing to exchange, are refused", () => {
  const tokenExchange = { tokenEndpoint: "https://id.example/token", ...client, audience: ["orders"] };
  const jwt = { issuers: [] };
  const login = { issuer: "https://id.example", clientId, publicUrl: "https://app.example" };
  const refused = (options: object): string | undefined =>
    authOptions.safeParse(options).error?.issues[0]?.message;
  assert.equal(refused({ jwt, tokenExchange }), undefined);
  assert.match(
    refused({ jwt, tokenExchange, forwardCredentials: true }) ?? "",
    /does not go with tokenExchange/,
  );
  assert.match(refused({ tokenExchange }) ?? "", /needs jwt/);
  assert.match(refused({ jwt: { login }, tokenExchange }) ?? "", /must be true with tokenExchange/);
  assert.match(
    refused({ jwt, tokenExchange: { ...tokenExchange, issuer: "https://id.example" } }) ?? "",
    /exactly one/,
  );
  assert.match(refused({ jwt, tokenExchange: { ...tokenExchange, audience: [] } }) ?? "", /what for/);
  const actor = { token: "SECRET_ACTOR", scopes: ["act"] };
  assert.match(refused({ jwt, tokenExchange: { ...tokenExchange, actor } }) ?? "", /do not go with it/);
});
