// Rechecks whether the caller of an ongoing exchange would still be admitted, and what a recheck must not do.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import type { Hooks } from "../../../src/plugin-api/contract.ts";
import { keyDigest } from "../../../plugins/auth/api-keys/key-format.ts";
import { Browser } from "./browser.ts";
import {
  exchangeFor,
  makeRoute,
  makeServices,
  series,
  withKey,
  type Ask,
  type TestServices,
} from "./harness.ts";
import { clientId, clientSecret, startOpenIdProvider, type OpenIdProvider } from "./openid-provider.ts";

const appUrl = "http://127.0.0.1:1";
let provider: OpenIdProvider;
let services: TestServices;

before(async () => {
  provider = await startOpenIdProvider({ appUrl });
  const secrets = { SECRET_SHOP: clientSecret, SESSION_KEYS: randomBytes(32).toString("base64url") };
  services = await makeServices({ secrets });
});
after(() => {
  provider.close();
  services.close();
});

/** Status of the verdict; 200 = may go on. */
async function judged(hooks: Hooks, ask: Ask): Promise<number> {
  const verdict = await hooks.recheck?.(exchangeFor(ask, hooks));
  if (!verdict) return 200;
  return verdict.action === "reject" ? verdict.error.kind.status : verdict.status;
}

const keys = [{ sha256: keyDigest("good"), id: "k1", userId: "u1", scopes: ["read"] }];

test("it is judged by the same rules, exclusions and addresses as at first", async () => {
  const expiresAt = new Date(services.clock.now() + 60_000).toISOString();
  const limited = { sha256: keyDigest("short"), id: "k2", userId: "u2", cidrs: ["192.0.2.0/24"], expiresAt };
  const options = {
    exclude: ["/open"],
    apiKeys: { keys: [...keys, limited] },
    rules: [{ path: "/admin/*", allow: { scopes: { all: ["admin"] } } }],
  };
  const { hooks } = await makeRoute(options, services);
  assert.equal(await judged(hooks, withKey("good")), 200);
  assert.equal(await judged(hooks, { ...withKey("good"), path: "/admin/x" }), 403);
  assert.equal(await judged(hooks, withKey("other")), 401);
  assert.equal(await judged(hooks, {}), 401);
  assert.equal(await judged(hooks, { path: "/open" }), 200);
  assert.equal(await judged(hooks, { fields: ["Authorization", "Bearer x"] }), 401, "none are taken here");
  assert.equal(await judged(hooks, withKey("short")), 200);
  assert.equal(await judged(hooks, { ...withKey("short"), address: "203.0.113.1" }), 401);
  services.clock.forward(61_000);
  assert.equal(await judged(hooks, withKey("short")), 401);
  services.clock.aheadMs = 0;
});

test("it counts nothing, neither as a request nor as a guess, nor for a rule in dry run", async () => {
  const route = await makeRoute({ guessing: { failures: 2 }, apiKeys: { keys } }, services);
  const counted = (): Promise<number> =>
    series(services.metrics, "outrigger_auth_total", { method: "api-key", result: "refused" });
  const before = await counted();
  for (let i = 0; i < 5; i += 1) assert.equal(await judged(route.hooks, withKey("bad")), 401);
  assert.equal(await counted(), before);
  const rules = [{ name: "tried", deny: {}, dryRun: true }];
  const ruled = await makeRoute({ apiKeys: { keys }, rules }, services);
  assert.equal((await ruled.ask(withKey("good"))).status, 200);
  for (let i = 0; i < 5; i += 1) assert.equal(await judged(ruled.hooks, withKey("good")), 200);
  const refusals = await series(services.metrics, "outrigger_auth_rule_refusals_total", { rule: "tried" });
  assert.equal(refusals, 1, "what a rule in dry run would refuse was counted when it came");
  assert.equal((await route.ask(withKey("worse"))).status, 401, "not limited");
});

test("a session goes on as its cookie stands, is not renewed, and ends with the tokens in it", async () => {
  const login = { issuer: provider.url, clientId, clientSecret: "SECRET_SHOP", publicUrl: appUrl };
  const jwt = { login: { ...login, cookieName: "app", secureCookie: false } };
  const route = await makeRoute({ guessing: false, jwt }, services);
  const browser = new Browser(appUrl);
  assert.equal((await browser.follow(route, "/")).status, 200);
  const cookie = [...browser.cookies()].map((pair) => pair.join("=")).join("; ");
  const refreshes = provider.refreshes();
  assert.equal(await judged(route.hooks, { fields: ["Cookie", cookie] }), 200);
  services.clock.forward(545_000);
  assert.equal(await judged(route.hooks, { fields: ["Cookie", cookie] }), 200, "due to be refreshed");
  services.clock.forward(60_000);
  assert.equal(await judged(route.hooks, { fields: ["Cookie", cookie] }), 401);
  assert.equal(provider.refreshes(), refreshes);
  services.clock.aheadMs = 0;
});
