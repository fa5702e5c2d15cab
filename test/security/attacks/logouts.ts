// Logouts that only seem to work, and sessions that come back after one.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { outrigger } from "../../support/process.ts";
import { TestClock } from "../../plugins/auth/harness.ts";
import type { Scene } from "../../support/scene.ts";
import { eventually } from "../../support/redis.ts";
import type { Attack } from "../attack.ts";
import {
  cookieOf,
  guardedBy,
  keys,
  loggedIn,
  loginAt,
  openShop,
  provider,
  shop,
  type Shop,
  type ShopAnswer,
} from "../login-site.ts";

async function statusOf(site: Shop, cookie: string): Promise<number> {
  return (await site.ask({ fields: ["Cookie", cookie] })).status;
}

function logOut(site: Shop, cookie: string): Promise<ShopAnswer> {
  return site.ask({ path: "/oauth2/logout", method: "POST", fields: ["Cookie", cookie, "Origin", shop] });
}

async function pair(scene: Scene, sessions: "cookie" | "redis") {
  const at = await provider(scene);
  const redis = await scene.redis();
  const options = { policy: guardedBy(loginAt(at, { sessions })), redisUrl: redis.url };
  const [one, two] = [await openShop(scene, options), await openShop(scene, options)];
  const cookie = cookieOf(await loggedIn(one));
  assert.deepEqual([await statusOf(one, cookie), await statusOf(two, cookie)], [200, 200]);
  return { redis, one, two, cookie };
}

function assertIncomplete({ status, answerFields, body }: ShopAnswer): void {
  assert.equal(status, 503);
  assert.ok(answerFields.has("retry-after"));
  assert.match(body, /the logout is not complete/);
  const cleared = answerFields.getAll("set-cookie");
  assert.ok(
    cleared.some((line) => /^app\.0=;.*Max-Age=0/i.test(line)),
    cleared.join("\n"),
  );
}

const whileAway = (sessions: "cookie" | "redis"): Attack => ({
  row: sessions === "cookie" ? "Z6" : "Z31",
  what: `goes on with a copied cookie (sessions: ${sessions}) after a logout that came while Redis was away`,
  async run(scene) {
    const { redis, one, two, cookie } = await pair(scene, sessions);
    await redis.stop();
    assertIncomplete(await logOut(one, cookie));
    assert.notEqual(await statusOf(one, cookie), 200);
    await redis.restart();
    const isOut = async (): Promise<boolean> => (await statusOf(two, cookie)) === 401;
    await eventually("the other sidecar refuses it", isOut, 10_000);
    assert.equal(await statusOf(one, cookie), 401);
  },
});

const whileFull = (sessions: "cookie" | "redis"): Attack => ({
  row: sessions === "cookie" ? "Z6" : "Z31",
  what: `goes on with a copied cookie (sessions: ${sessions}) after a logout that came while Redis was full`,
  async run(scene) {
    const { redis, one, two, cookie } = await pair(scene, sessions);
    await redis.cli.config("SET", "maxmemory", "1");
    assertIncomplete(await logOut(one, cookie));
    assert.equal(await statusOf(one, cookie), 401);
    await redis.cli.config("SET", "maxmemory", "0");
    const isOut = async (): Promise<boolean> => (await statusOf(two, cookie)) === 401;
    await eventually("the other sidecar refuses it", isOut, 10_000);
  },
});

/** Writes ended sessions of others. The server makes up their names: to send each costs far more than what is tested. */
const writeEnds = `
for i = ARGV[2], ARGV[3] do
  redis.call("SET", string.format("outrigger:session-ended:%s%032x", ARGV[1], i), "1", "PX", 600000)
end`;

/** Writes as many ended sessions of others as the memory for them holds. */
async function flood(redis: Awaited<ReturnType<Scene["redis"]>>, kind: string): Promise<void> {
  for (let at = 0; at < 66_000; at += 500) await redis.cli.eval(writeEnds, 0, kind, at, at + 499);
}

const crowdedOut = (kind: "" | "sub."): Attack => ({
  row: "Z6",
  what: `goes on with ${kind === "" ? "a logged-out session" : "the session of a user who was revoked"} after 65,536 other ends`,
  async run(scene) {
    // Of sessions in Redis each is ended by itself, too.
    const { redis, one, two, cookie } = await pair(scene, kind === "" ? "redis" : "cookie");
    if (kind === "") await logOut(one, cookie);
    else {
      const revoked = await outrigger(["sessions", "revoke", "--user", "ada"], { REDIS_URL: redis.url });
      assert.equal(revoked.code, 0, revoked.stderr);
    }
    // The other sidecar is not asked meanwhile: it would forget the session as soon as it refuses it.
    const last = cookieOf(await loggedIn(two));
    assert.equal(await statusOf(two, last), 200);
    await flood(redis, kind);
    // Once the last of these sessions is out, all of them have been read.
    await logOut(one, last);
    await eventually("all is heard", async () => (await statusOf(two, last)) === 401, 5_000);
    assert.deepEqual([await statusOf(one, cookie), await statusOf(two, cookie)], [401, 401]);
  },
});

const keyNotYetThere = (sessions: "cookie" | "redis"): Attack => ({
  row: sessions === "cookie" ? "Z6" : "Z31",
  what: `is logged out (sessions: ${sessions}) by a sidecar that has not read the new session key yet`,
  async run(scene) {
    const at = await provider(scene);
    const redis = await scene.redis();
    const options = { policy: guardedBy(loginAt(at, { sessions })), redisUrl: redis.url };
    const env = { OUTRIGGER_SESSION_KEYS: `${randomBytes(32).toString("base64url")},${keys}` };
    const [before, after] = [await openShop(scene, options), await openShop(scene, { ...options, env })];
    const cookie = cookieOf(await loggedIn(after));
    const answer = await before.ask({ fields: ["Cookie", cookie] });
    assert.equal(answer.status, 401);
    assert.deepEqual(answer.answerFields.getAll("set-cookie"), []);
    assert.equal(await statusOf(after, cookie), 200);
  },
});

const madeUpTickets: Attack = {
  row: "Z31",
  what: "has Redis asked for a session for every ticket that it makes up",
  async run(scene) {
    const { redis, one, cookie } = await pair(scene, "redis");
    const asked = async (): Promise<number> =>
      Number(/cmdstat_get:calls=(\d+)/.exec(await redis.cli.info("commandstats"))?.[1] ?? 0);
    const before = await asked();
    const [, mark] = cookie.split(".").slice(1);
    for (let tries = 0; tries < 20; tries += 1) {
      const ticket = randomBytes(32).toString("base64url");
      for (const madeUp of [
        ticket,
        `${ticket}.${randomBytes(32).toString("base64url")}`,
        `${ticket}.${mark}`,
      ])
        assert.equal(await statusOf(one, `app.0=${madeUp}`), 401);
    }
    // The count includes readings of the policy meanwhile.
    assert.ok((await asked()) < before + 20);
  },
};

const duringRefresh: Attack = {
  row: "Z31",
  what: "logs out while the session is refreshed, which puts it back into Redis and among the sessions that are listed",
  async run(scene) {
    const at = await provider(scene, { accessTokenSeconds: 600 });
    const redis = await scene.redis();
    const clock = new TestClock();
    const options = { policy: guardedBy(loginAt(at, { sessions: "redis" })), redisUrl: redis.url, clock };
    const [one, two] = [await openShop(scene, options), await openShop(scene, options)];
    const cookies: string[] = [];
    while (cookies.length < 4) cookies.push(cookieOf(await loggedIn(one)));
    clock.forward(545_000);
    const countOf = async (keys: string): Promise<number> =>
      (await redis.cli.keys(`outrigger:${keys}:*`)).length;
    for (const [round, cookie] of cookies.entries()) {
      const refreshed = statusOf(one, cookie);
      const hasBegun = async (): Promise<boolean> =>
        (await countOf("session-lease")) > 0 || (await countOf("session-refreshed")) > round;
      while (!(await hasBegun()));
      assert.equal((await logOut(two, cookie)).status, 303);
      await refreshed;
      const left: number = cookies.length - 1 - round;
      assert.deepEqual([await countOf("session-index"), await countOf("session")], [left, left]);
    }
  },
};

export const attacks: readonly Attack[] = [
  whileAway("cookie"),
  whileAway("redis"),
  whileFull("cookie"),
  whileFull("redis"),
  crowdedOut(""),
  crowdedOut("sub."),
  keyNotYetThere("cookie"),
  keyNotYetThere("redis"),
  madeUpTickets,
  duringRefresh,
];
