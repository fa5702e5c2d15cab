// Sessions that are used as something they are not.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TestClock } from "../../plugins/auth/harness.ts";
import type { Attack } from "../attack.ts";
import { eventually } from "../../support/redis.ts";
import { cookieOf, guardedBy, loggedIn, loginAt, openShop, provider, shop } from "../login-site.ts";

const auth = (login: object): object => ({ auth: { guessing: false, jwt: { login } } });
const paths = (under: string): object => ({
  callbackPath: `${under}/callback`,
  loginPath: `${under}/login`,
  logoutPath: `${under}/logout`,
});

const anotherIssuer: Attack = {
  row: "Z1",
  what: "sends the session of an issuer where anybody registers to the route of another issuer, under its cookie's name",
  async run(scene) {
    const [staff, anybody] = await Promise.all([
      provider(scene, { claims: { staff: true } }),
      provider(scene, { user: "mallory", claims: { staff: true } }),
    ]);
    const admin = { ...loginAt(staff), cookieName: "adm", requiredClaims: { staff: true } };
    const site = await openShop(scene, {
      policy: {
        routes: [
          { path: "/oauth2/*", pluginConfig: auth(loginAt(anybody)) },
          { path: "/pub/*", pluginConfig: auth(loginAt(anybody)) },
          { path: "/admin/*", pluginConfig: auth({ ...admin, ...paths("/admin") }) },
        ],
      },
    });
    const mallory = await loggedIn(site, "/pub/x");
    const cookie = cookieOf(mallory).replace("app.0=", "adm.0=");
    const answer = await site.ask({ path: "/admin/x", fields: ["Cookie", cookie] });
    assert.deepEqual([answer.status, answer.seen?.["x-user-id"]], [401, undefined]);
  },
};

const tightened: Attack = {
  row: "Z1",
  what: "goes on with a session after the policy asks for a claim that it lacks, and takes it to a route that asks",
  async run(scene) {
    const at = await provider(scene);
    const strict = { ...loginAt(at), requiredClaims: { staff: true } };
    const site = await openShop(scene, {
      policy: {
        routes: [
          { path: "/admin/*", pluginConfig: auth(strict) },
          { path: "/*", pluginConfig: auth(loginAt(at)) },
        ],
      },
    });
    const browser = await loggedIn(site);
    const fields = ["Cookie", cookieOf(browser)];
    assert.equal((await site.ask({ path: "/admin/x", fields })).status, 401);
    assert.equal((await site.ask({ path: "/x", fields })).status, 200);
    site.sidecar.setPolicy({ plugins: ["auth", "transform"], ...guardedBy(strict) });
    const isRefused = async (): Promise<boolean> => (await site.ask({ path: "/x", fields })).status === 401;
    await eventually("the session is refused", isRefused, 5_000);
  },
};

const movedFlow: Attack = {
  row: "Z6",
  what: "ends at one login what was begun at another",
  async run(scene) {
    const [ours, theirs] = await Promise.all([provider(scene), provider(scene, { user: "mallory" })]);
    const site = await openShop(scene, {
      policy: {
        routes: [
          { path: "/b/*", pluginConfig: auth({ ...loginAt(theirs), ...paths("/b") }) },
          { path: "/*", pluginConfig: auth(loginAt(ours)) },
        ],
      },
    });
    const begun = await site.ask({ path: "/b/login" });
    const [pair = ""] = (begun.answerFields.get("set-cookie") ?? "").split(";");
    const state = new URL(begun.answerFields.get("location") ?? "").searchParams.get("state") ?? "";
    const asked = {
      path: "/oauth2/callback",
      query: `?code=x&state=${state}&iss=${encodeURIComponent(ours.url)}`,
    };
    const answer = await site.ask({ ...asked, fields: ["Cookie", pair] });
    assert.equal(answer.status, 401);
    const told = await site.sidecar.line(({ path }) => path === "/oauth2/callback");
    assert.match(String(told["refusedBecause"]), /another login|no login is under way/);
  },
};

const takenFromRedis: Attack = {
  row: "Z2",
  what: "sends what lies in Redis about a refreshed session as a cookie, and puts its own there for the victim",
  async run(scene) {
    const at = await provider(scene, { accessTokenSeconds: 600 });
    const redis = await scene.redis();
    const clock = new TestClock();
    const options = { policy: guardedBy(loginAt(at)), redisUrl: redis.url, clock };
    const [one, two] = [await openShop(scene, options), await openShop(scene, options)];
    const victim = await loggedIn(one);
    const before = cookieOf(victim);
    at.user = "mallory";
    const mallory = await loggedIn(one);
    clock.forward(545_000);
    assert.equal((await one.ask({ fields: ["Cookie", before] })).seen?.["x-user-id"], "ada");
    const [name = ""] = await redis.cli.keys("outrigger:session-refreshed:*");
    const kept = (await redis.cli.get(name)) ?? "";
    assert.notEqual(kept, "");
    const stolen = await one.ask({ fields: ["Cookie", `app.0=${kept}`] });
    assert.deepEqual([stolen.status, stolen.seen], [401, undefined]);
    await redis.cli.set(name, cookieOf(mallory).replace("app.0=", ""));
    const late = await two.ask({ fields: ["Cookie", before] });
    assert.notEqual(late.seen?.["x-user-id"], "mallory");
  },
};

const forgottenLogout: Attack = {
  row: "Z6",
  what: "sends a copied cookie after the logout, to a sidecar without Redis that has started anew",
  async run(scene) {
    const at = await provider(scene);
    const folder = mkdtempSync(join(tmpdir(), "outrigger-attack-"));
    scene.after(() => rmSync(folder, { recursive: true }));
    const options = { policy: guardedBy(loginAt(at)), env: { OUTRIGGER_STATE_DIR: folder } };
    const before = await openShop(scene, options);
    const copied = ["Cookie", cookieOf(await loggedIn(before))];
    const out = { path: "/oauth2/logout", method: "POST", fields: [...copied, "Origin", shop] };
    assert.equal((await before.ask(out)).status, 303);
    await before.sidecar.stop();
    const after = await openShop(scene, options);
    assert.equal((await after.ask({ fields: copied })).status, 401);
    assert.equal((await after.ask({ fields: ["Cookie", cookieOf(await loggedIn(after))] })).status, 200);
  },
};

export const attacks: readonly Attack[] = [
  anotherIssuer,
  tightened,
  movedFlow,
  takenFromRedis,
  forgottenLogout,
];
