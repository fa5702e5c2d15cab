// Logouts that the provider reports (OpenID Connect Back-Channel Logout 1.0), and logouts that others forge.
import assert from "node:assert/strict";
import type { Browser } from "../../plugins/auth/browser.ts";
import { clientId, type OpenIdProvider } from "../../plugins/auth/openid-provider.ts";
import { compact, makeSigningKey } from "../../plugins/auth/token-issuer.ts";
import { eventually } from "../../support/redis.ts";
import type { Attack } from "../attack.ts";
import { cookieOf, guardedBy, loggedIn, loginAt, openShop, provider, shop } from "../login-site.ts";
import { endpointIn, issuerIn } from "../token-scene.ts";

const backchannelLogoutPath = "/oauth2/backchannel";
const event = { "http://schemas.openid.net/event/backchannel-logout": {} };

interface Told {
  readonly status: number;
}

async function tell(url: string, body: string, type = "application/x-www-form-urlencoded"): Promise<Told> {
  const headers = { "content-type": type };
  const response = await fetch(url + backchannelLogoutPath, { method: "POST", headers, body });
  await response.arrayBuffer();
  const { status } = response;
  // Section 2.8: the answer must not be cached, whatever it says.
  if (status !== 413) assert.equal(response.headers.get("cache-control"), "no-store", `${status}`);
  return { status };
}

/** Logs out at the provider itself, through the provider's own page. */
async function logOutAt(at: OpenIdProvider, browser: Browser): Promise<void> {
  const cookie = [...browser.cookies(at.url)].map((pair) => pair.join("=")).join("; ");
  const page = await fetch(`${at.url}/session/end`, { headers: { cookie } });
  const lines = page.headers.getSetCookie().map((line) => line.split(";")[0]);
  const xsrf = /name="xsrf" value="([^"]+)"/.exec(await page.text())?.[1] ?? "";
  const body = new URLSearchParams({ xsrf, logout: "yes" });
  const headers = { cookie: [cookie, ...lines].join("; ") };
  const answer = await fetch(`${at.url}/session/end/confirm`, {
    method: "POST",
    redirect: "manual",
    headers,
    body,
  });
  assert.equal(answer.status, 303, await answer.text());
}

const ends: Attack = {
  row: "Z31",
  what: "a session goes on after the logout at the provider, which tells one of the sidecars",
  async run(scene) {
    let target = "";
    const bodies: string[] = [];
    const relay = await endpointIn(scene, (request, response) => {
      request.on("data", (chunk: Buffer) => void bodies.push(chunk.toString()));
      request.on("end", () => {
        void tell(target, bodies.at(-1) ?? "").then(({ status }) => response.writeHead(status).end());
      });
    });
    const at = await provider(scene, { backchannelLogoutUri: relay.url });
    const redis = await scene.redis();
    const login = (sessions: string): object => guardedBy(loginAt(at, { sessions, backchannelLogoutPath }));
    const [one, two] = [
      await openShop(scene, { policy: login("cookie") as never, redisUrl: redis.url }),
      await openShop(scene, { policy: login("redis") as never, redisUrl: redis.url }),
    ];
    target = one.sidecar.url;
    const [first, second] = [await loggedIn(one), await loggedIn(two)];
    const status = async (site: typeof one, browser: Browser): Promise<number> =>
      (await site.ask({ fields: ["Cookie", cookieOf(browser)] })).status;
    assert.deepEqual([await status(one, first), await status(two, second)], [200, 200]);
    await logOutAt(at, second);
    await eventually("ended at the other sidecar", async () => (await status(two, second)) === 401, 4_000);
    assert.equal(await status(one, first), 200, "another session at the provider");
    await logOutAt(at, first);
    await eventually("ended in cookies", async () => (await status(one, first)) === 401, 4_000);
    const again = await loggedIn(one);
    assert.equal((await tell(one.sidecar.url, bodies.at(-1) ?? "")).status, 400, "the same token again");
    assert.equal(await status(one, again), 200);
  },
};

const forged: Attack = {
  row: "Z31",
  what: "ends others' sessions by an ID token, an old or foreign logout token, or one of the attacker's making",
  async run(scene) {
    const issuer = await issuerIn(scene);
    const redis = await scene.redis();
    const login = { issuer: issuer.url, clientId, publicUrl: shop, cookieName: "app", secureCookie: false };
    const policy = guardedBy({ ...login, backchannelLogoutPath });
    const { sidecar } = await openShop(scene, { policy, redisUrl: redis.url });
    const now = Math.floor(Date.now() / 1000);
    let count = 0;
    const good = (): Record<string, unknown> => ({
      aud: clientId,
      sub: "ada",
      jti: `j${(count += 1)}`,
      events: event,
    });
    const sign = async (claims: object = {}, options: object = {}): Promise<string> =>
      `logout_token=${await issuer.sign({ ...good(), ...claims }, { header: { typ: "logout+jwt" }, ...options })}`;
    const ask = async (body: string, type?: string): Promise<number> =>
      (await tell(sidecar.url, body, type)).status;
    assert.equal(await ask(await sign()), 200);
    assert.equal(await ask(await sign({ sub: undefined, sid: "s" })), 200);
    const twice = await sign();
    assert.deepEqual([await ask(twice), await ask(twice)], [200, 400]);
    const bad: Record<string, string> = {
      "an ID token": await sign({ events: undefined, nonce: "n" }),
      "no event": await sign({ events: {} }),
      "an event of another kind": await sign({ events: { "http://x/": {} } }),
      "an event that is no object": await sign({ events: { [Object.keys(event)[0] ?? ""]: "yes" } }),
      nonce: await sign({ nonce: "n" }),
      "nobody's": await sign({ sub: undefined }),
      "sid of another type": await sign({ sid: 7 }),
      "another client's": await sign({ aud: "other" }),
      "another issuer's": await sign({ iss: "https://evil.example" }),
      old: await sign({ iat: now - 400 }),
      "of the future": await sign({ iat: now + 400 }),
      "without iat": await sign({ iat: undefined }),
      "without exp": await sign({ exp: undefined }),
      ended: await sign({ exp: now - 60 }),
      "without jti": await sign({ jti: undefined }),
      "an access token": await sign({}, { header: { typ: "at+jwt" } }),
      "another key's": await sign({}, { key: await makeSigningKey("first-ES256") }),
      unsigned: `logout_token=${compact({ alg: "none", typ: "logout+jwt" }, { ...good(), iss: issuer.url })}`,
      junk: "logout_token=x.y.z",
      none: "",
      two: `${await sign()}&${await sign()}`,
    };
    for (const [name, body] of Object.entries(bad)) assert.equal(await ask(body), 400, name);
    assert.equal(await ask(await sign(), "application/json"), 400);
    assert.equal(await ask(`x=${"a".repeat(40_000)}`), 413);
    assert.equal((await fetch(sidecar.url + backchannelLogoutPath)).status, 405);
    assert.equal(
      (await redis.cli.keys("outrigger:session-ended:s*")).length,
      2,
      "the marks of the good ones",
    );
    const late = await sign();
    redis.freeze();
    assert.equal(await ask(late), 503, "the provider is to come again");
    redis.thaw();
    await eventually("taken when it comes again", async () => (await ask(late)) === 200, 5_000);
    issuer.mode = "failing";
    assert.equal(await ask(await sign({}, { key: await makeSigningKey("new") })), 503);
  },
};

export const attacks: readonly Attack[] = [ends, forged];
