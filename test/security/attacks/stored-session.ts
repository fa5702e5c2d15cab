// Sessions in Redis, sessions too large for cookies, and session ends that come from elsewhere.
import assert from "node:assert/strict";
import { TestClock } from "../../plugins/auth/harness.ts";
import { outrigger } from "../../support/process.ts";
import { eventually } from "../../support/redis.ts";
import type { Attack } from "../attack.ts";
import {
  cookieOf,
  guardedBy,
  loggedIn,
  loginAt,
  openShop,
  provider,
  shop,
  type Shop,
} from "../login-site.ts";
import { Browser } from "../../plugins/auth/browser.ts";

const groups = (bytes: number): object => ({
  claims: { groups: Array.from({ length: bytes / 32 }, (_, i) => `cn=group-${i}-`.padEnd(29, "x")) },
});

async function statusOf(site: Shop, cookie: string): Promise<number> {
  return (await site.ask({ fields: ["Cookie", cookie] })).status;
}

const tooLarge: Attack = {
  row: "Z31",
  what: "a user of many groups is told that the login failed, or that the provider does not answer",
  async run(scene) {
    const at = await provider(scene, groups(30_720));
    const site = await openShop(scene, { policy: guardedBy(loginAt(at)) });
    const answer = await new Browser(shop).follow(site, "/");
    assert.equal(answer.status, 500);
    assert.match(answer.body, /The login succeeded, but its session is too large for cookies/);
    const line = await site.sidecar.line(({ path, status }) => path === "/oauth2/callback" && status === 500);
    assert.match(
      String(line["refusedBecause"]),
      /does not fit into cookies \(10800\): set jwt\.login\.sessions to "redis"/,
    );
    const redis = await scene.redis();
    const stored = { policy: guardedBy(loginAt(at, { sessions: "redis" })), redisUrl: redis.url };
    const [one, two] = [await openShop(scene, stored), await openShop(scene, stored)];
    const cookie = cookieOf(await loggedIn(one));
    assert.ok(cookie.length < 100, cookie);
    assert.equal(await statusOf(two, cookie), 200);
    const smaller = await provider(scene, groups(9_216));
    const third = await openShop(scene, {
      ...stored,
      policy: guardedBy(loginAt(smaller, { sessions: "redis" })),
    });
    await loggedIn(third);
  },
};

const readInRedis: Attack = {
  row: "Z31",
  what: "whoever reads and writes Redis uses a stored session as a cookie, or puts one in another's place",
  async run(scene) {
    const at = await provider(scene);
    const redis = await scene.redis();
    const options = { policy: guardedBy(loginAt(at, { sessions: "redis" })), redisUrl: redis.url };
    const [one, two] = [await openShop(scene, options), await openShop(scene, options)];
    const victim = cookieOf(await loggedIn(one));
    const [mine = ""] = await redis.cli.keys("outrigger:session:*");
    at.user = "mallory";
    const mallory = cookieOf(await loggedIn(one));
    const theirs = (await redis.cli.keys("outrigger:session:*")).find((key) => key !== mine) ?? "";
    const sealed = (await redis.cli.get(mine)) ?? "";
    const keys = await redis.cli.keys("outrigger:session*");
    const all = JSON.stringify([keys, await redis.cli.mget(keys)]);
    assert.equal(all.includes(victim.replace("app.0=", "")), false, "the ticket");
    assert.doesNotMatch(all, /mail\.example|refresh|eyJhbGciOiJFUzI1/, "claims and tokens");
    for (const value of [sealed, mine.replace("outrigger:session:", ""), mine]) {
      assert.equal(await statusOf(two, `app.0=${value}`), 401, value.slice(0, 20));
    }
    await redis.cli.set(mine, (await redis.cli.get(theirs)) ?? "");
    assert.equal(await statusOf(two, victim), 401, "another's session in its place");
    await redis.cli.set(mine, sealed);
    assert.equal(await statusOf(two, victim), 200);
    const out = { path: "/oauth2/logout", method: "POST", fields: ["Cookie", victim, "Origin", shop] };
    assert.equal((await one.ask(out)).status, 303);
    assert.equal(await redis.cli.exists(mine), 0);
    await redis.cli.set(mine, sealed);
    await eventually("it is ended", async () => (await statusOf(two, victim)) === 401, 4_000);
    assert.equal(await statusOf(two, mallory), 200);
  },
};

const afterRefresh: Attack = {
  row: "Z31",
  what: "a stored session is lost, or refreshed twice, when its tokens are refreshed",
  async run(scene) {
    const at = await provider(scene);
    const redis = await scene.redis();
    const clock = new TestClock();
    const options = { policy: guardedBy(loginAt(at, { sessions: "redis" })), redisUrl: redis.url, clock };
    const [one, two] = [await openShop(scene, options), await openShop(scene, options)];
    const cookie = cookieOf(await loggedIn(one));
    assert.equal(await statusOf(two, cookie), 200);
    clock.forward(545_000);
    const answers = await Promise.all(
      [one, two, one, two].map((site) => site.ask({ fields: ["Cookie", cookie] })),
    );
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200, 200, 200],
    );
    assert.equal(at.refreshes(), 1);
    assert.equal(
      answers.some(({ answerFields }) => answerFields.has("set-cookie")),
      false,
      "the ticket stays",
    );
    await redis.cli.del(...(await redis.cli.keys("outrigger:session-refreshed:*")));
    clock.forward(300_000);
    const late = await openShop(scene, options);
    assert.deepEqual(
      [await statusOf(late, cookie), await statusOf(two, cookie), at.refreshes()],
      [200, 200, 1],
    );
  },
};

const revoked: Attack = {
  row: "Z31",
  what: "a session goes on after an operator has revoked it or its user",
  async run(scene) {
    const at = await provider(scene);
    const redis = await scene.redis();
    const run = (...args: string[]): ReturnType<typeof outrigger> =>
      outrigger(["sessions", ...args], { REDIS_URL: redis.url });
    const stored = { policy: guardedBy(loginAt(at, { sessions: "redis" })), redisUrl: redis.url };
    const [one, two] = [await openShop(scene, stored), await openShop(scene, stored)];
    const inCookies = await openShop(scene, { policy: guardedBy(loginAt(at)), redisUrl: redis.url });
    const [first, second] = [cookieOf(await loggedIn(one)), cookieOf(await loggedIn(one))];
    const third = cookieOf(await loggedIn(inCookies));
    at.user = "grace";
    const other = cookieOf(await loggedIn(two));
    assert.deepEqual(
      [await statusOf(two, first), await statusOf(one, second), await statusOf(two, other)],
      [200, 200, 200],
    );
    const listed = JSON.parse((await run("list", "--user", "ada", "--json")).stdout) as { id: string }[];
    assert.equal(listed.length, 2);
    assert.equal((await run("revoke", listed[0]?.id ?? "")).code, 0);
    await eventually("revoked", async () => (await statusOf(two, first)) === 401, 4_000);
    assert.equal(await statusOf(one, second), 200);
    assert.equal((await run("revoke", "--user", "ada")).code, 0);
    await eventually("revoked", async () => (await statusOf(one, second)) === 401, 4_000);
    await eventually("revoked", async () => (await statusOf(inCookies, third)) === 401, 4_000);
    assert.equal(await statusOf(two, other), 200, "somebody else's");
    at.user = "ada";
    assert.equal(await statusOf(inCookies, cookieOf(await loggedIn(inCookies))), 200, "a later one");
  },
};

const otherClocks: Attack = {
  row: "Z31",
  what: "goes on after a revocation since the sidecar's clock is ahead, or is locked out after it since that is behind",
  async run(scene) {
    const at = await provider(scene);
    const redis = await scene.redis();
    for (const aheadMs of [8_000, -8_000]) {
      const clock = new TestClock();
      clock.forward(aheadMs);
      const site = await openShop(scene, { policy: guardedBy(loginAt(at)), redisUrl: redis.url, clock });
      const before = cookieOf(await loggedIn(site));
      const revoked = await outrigger(["sessions", "revoke", "--user", "ada"], { REDIS_URL: redis.url });
      assert.equal(revoked.code, 0, revoked.stderr);
      const isOut = async (): Promise<boolean> => (await statusOf(site, before)) === 401;
      await eventually(`the session is out at a clock ${aheadMs} ms ahead`, isOut, 4_000);
      assert.equal(await statusOf(site, cookieOf(await loggedIn(site))), 200);
    }
  },
};

export const attacks: readonly Attack[] = [tooLarge, readInRedis, afterRefresh, revoked, otherClocks];
