// Logins that several services or routes share: what one of them forgets or does not learn must still count at the
// others.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TestClock } from "../../plugins/auth/harness.ts";
import type { Attack } from "../attack.ts";
import { cookieOf, loggedIn, loginAt, openShop, provider, shop } from "../login-site.ts";
import { ask } from "../path-scene.ts";

const auth = (login: object): object => ({ auth: { guessing: false, jwt: { login } } });

const anotherService: Attack = {
  row: "Z3",
  what: "a service of the same origin collects the session cookies of another service's login",
  async run(scene) {
    const at = await provider(scene);
    const redis = await scene.redis();
    const policy = {
      plugins: ["logging", "auth", "transform"],
      routes: [
        { path: "/b/*", services: ["b"], pluginConfig: { auth: { required: false } } },
        { path: "/open/*", services: ["b"], plugins: [] },
        { path: "/*", services: ["a"], pluginConfig: auth(loginAt(at)) },
      ],
    };
    await redis.cli.set("outrigger:policy", JSON.stringify({ apiVersion: "outrigger/v1", ...policy }));
    const a = await openShop(scene, { policy, redisUrl: redis.url, env: { OUTRIGGER_SERVICE: "a" } });
    const cookie = `${cookieOf(await loggedIn(a))}; app.login.0=x; app.flow.0=x; app.other=1`;
    const b = await scene.sidecar({
      redisUrl: redis.url,
      env: { OUTRIGGER_SERVICE: "b" },
      upstream: ({ headers }, response) => {
        response.setHeader("Set-Cookie", "app.0=fixed; Path=/");
        response.end(JSON.stringify(headers));
      },
    });
    for (const path of ["/b/x", "/open/x"]) {
      const { status, body } = await ask(b, "GET", path, [`Cookie: ${cookie}`]);
      assert.equal(status, 200);
      assert.equal((JSON.parse(body) as { cookie?: string }).cookie, "app.other=1", path);
      assert.equal((await fetch(b.url + path)).headers.get("set-cookie"), null, "set by service b");
    }
  },
};

const forgottenEarly: Attack = {
  row: "Z6",
  what: "logs out where sessions are short, and has the copied cookie taken where they are long",
  async run(scene) {
    const at = await provider(scene, { accessTokenSeconds: 3_600 });
    const redis = await scene.redis();
    const stateDir = mkdtempSync(join(tmpdir(), "outrigger-logout-"));
    scene.after(() => rmSync(stateDir, { recursive: true, force: true }));
    const own = { callbackPath: "/short/callback", loginPath: "/short/login", logoutPath: "/short/logout" };
    const short = auth({ ...loginAt(at), ...own, sessionSeconds: 60 });
    const policy = {
      routes: [
        { path: "/short/*", pluginConfig: short },
        { path: "/*", pluginConfig: auth(loginAt(at)) },
      ],
    };
    for (const where of [{ redisUrl: redis.url }, { env: { OUTRIGGER_STATE_DIR: stateDir } }]) {
      const clock = new TestClock();
      const site = await openShop(scene, { policy, clock, ...where });
      const fields = ["Cookie", cookieOf(await loggedIn(site))];
      const out = await site.ask({
        path: "/short/logout",
        method: "POST",
        fields: [...fields, "Origin", shop],
      });
      assert.equal(out.status, 303);
      await site.sidecar.stop();
      clock.forward(180_000);
      const restarted = await openShop(scene, { policy, clock, ...where });
      assert.equal((await restarted.ask({ path: "/x", fields })).status, 401, JSON.stringify(where));
      await restarted.sidecar.stop();
    }
    const [ended = ""] = await redis.cli.keys("outrigger:session-ended:*");
    assert.ok((await redis.cli.pttl(ended)) > 43_000_000, "as long as it could live");
  },
};

export const attacks: readonly Attack[] = [anotherService, forgottenEarly];
