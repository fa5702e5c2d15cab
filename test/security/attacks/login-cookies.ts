// The login's cookies: who can see them, who can set them, and how many there may be.
import assert from "node:assert/strict";
import { Browser } from "../../plugins/auth/browser.ts";
import { TestClock } from "../../plugins/auth/harness.ts";
import type { Attack } from "../attack.ts";
import { cookieOf, guardedBy, loggedIn, loginAt, openShop, provider, shop } from "../login-site.ts";

const navigation = ["Sec-Fetch-Mode", "navigate"];

const seenByService: Attack = {
  row: "Z3",
  what: "a service takes the session from a route without auth, an excluded path, an upgrade",
  async run(scene) {
    const at = await provider(scene);
    const site = await openShop(scene, {
      policy: {
        routes: [
          { path: "/open/*", plugins: ["cors"] },
          {
            path: "/*",
            ...guardedBy(loginAt(at, { cookieName: "sess" }), { exclude: ["/public/*"], required: false }),
          },
        ],
      },
    });
    const browser = await loggedIn(site, "/oauth2/login?return_to=/");
    const own = ["sess.0", "sess.1", "sess.2", "sess.flow.0", "sess.login.3"];
    const kept = ["sess_id=1", "sess=2", "sess.3=3", "sess.00=4", "xsess.0=5"];
    const others = own.slice(1).map((name) => `${name}=x`);
    const cookie = [...kept, ...others, cookieOf(browser)].join("; ");
    for (const path of ["/open/x", "/public/x"]) {
      const { seen } = await site.ask({ path, fields: ["Cookie", cookie] });
      assert.equal(seen?.cookie, kept.join("; "), path);
    }
    // Each cookie in a line of its own, and in an upgrade request.
    const lines = [...kept, ...others, cookieOf(browser)].flatMap((pair) => ["Cookie", pair]);
    const upgrade = ["Connection", "Upgrade", "Upgrade", "websocket"];
    const { seen } = await site.ask({ path: "/open/socket", fields: [...lines, ...upgrade] });
    assert.equal(seen?.cookie, kept.join("; "));
  },
};

const setByService: Attack = {
  row: "Z6",
  what: "a service sets cookies of the login's names",
  async run(scene) {
    const at = await provider(scene);
    const set = ["app.0=evil", " app.1 =evil; Path=/", "=app.2=evil", "app.flow.1=x", "app.login.0=x"];
    const site = await openShop(scene, {
      policy: {
        routes: [
          { path: "/open/*", plugins: [] },
          { path: "/*", ...guardedBy(loginAt(at)) },
        ],
      },
      answer(_request, response) {
        response.setHeader("Set-Cookie", [...set, "app=1", "app.3=1"]);
        response.end();
      },
    });
    const browser = await loggedIn(site);
    for (const path of ["/open/x", "/x"]) {
      const answer = await site.ask({ path, fields: ["Cookie", cookieOf(browser)] });
      assert.deepEqual(answer.answerFields.getAll("set-cookie"), ["app=1", "app.3=1"], path);
    }
  },
};

const storedOutside: Attack = {
  row: "Z5",
  what: "has caches outside keep the answer that brings a renewed session",
  async run(scene) {
    const at = await provider(scene);
    const clock = new TestClock();
    const site = await openShop(scene, {
      policy: guardedBy(loginAt(at)),
      clock,
      answer(_request, response) {
        response.setHeader("Cache-Control", "public, max-age=600, s-maxage=600");
        response.setHeader("CDN-Cache-Control", "max-age=600");
        response.setHeader("Surrogate-Control", "max-age=600");
        response.setHeader("Expires", new Date(Date.now() + 600_000).toUTCString());
        response.end();
      },
    });
    const browser = await loggedIn(site);
    clock.forward(545_000);
    const { answerFields } = await site.ask({ fields: ["Cookie", cookieOf(browser)] });
    assert.match(answerFields.get("set-cookie") ?? "", /^app\.0=/);
    assert.equal(answerFields.get("cache-control"), "private, no-cache");
    for (const name of ["cdn-cache-control", "surrogate-control", "expires"])
      assert.equal(answerFields.has(name), false, name);
  },
};

const cookieFlood: Attack = {
  row: "Z27",
  what: "begins 45 logins without an end, some from long addresses, until no head is small enough",
  async run(scene) {
    const at = await provider(scene);
    const site = await openShop(scene, { policy: guardedBy(loginAt(at)) });
    const browser = new Browser(shop);
    for (let i = 0; i < 45; i += 1) {
      const page = `/board/${i}?${i < 8 ? "q".repeat(1_900) : ""}`;
      const path = `/oauth2/login?return_to=${encodeURIComponent(page)}`;
      assert.equal((await browser.visit(site, path, navigation)).status, 302);
    }
    const names = [...browser.cookies().keys()];
    const everywhere = names.filter((name) => !name.includes(".flow."));
    assert.ok(names.length <= 8, names.join());
    const sent = everywhere.map((name) => `${name}=${browser.cookies().get(name)}`).join("; ");
    assert.ok(sent.length < 400, `${sent.length} bytes on every path`);
    assert.ok(cookieOf(browser).length < 9_000, `${cookieOf(browser).length} bytes at the callback`);
    assert.equal((await browser.follow(site, "/board/45")).status, 200);
  },
};

const longHead: Attack = {
  row: "Z27",
  what: "leaves a browser shut out by a head that the login's own cookies made too large",
  async run(scene) {
    const at = await provider(scene);
    const site = await openShop(scene, { policy: guardedBy(loginAt(at)) });
    const answer = await site.ask({ fields: ["Cookie", `app.flow.0=${"x".repeat(17_000)}`] });
    assert.equal(answer.status, 431);
    const lines = answer.answerFields.getAll("set-cookie");
    assert.ok(lines.includes("app.flow.0=; Path=/oauth2/callback; Max-Age=0; HttpOnly; SameSite=Lax"));
    assert.equal(lines.length, 8);
  },
};

const prefetch: Attack = {
  row: "Z27",
  what: "has a browser begin logins for pages that it only loads ahead",
  async run(scene) {
    const at = await provider(scene);
    const site = await openShop(scene, { policy: guardedBy(loginAt(at)) });
    for (const purpose of [
      ["Sec-Purpose", "prefetch;prerender"],
      ["Purpose", "prefetch"],
      ["X-Moz", "prefetch"],
    ])
      for (const path of ["/page", "/oauth2/login"]) {
        const answer = await site.ask({ path, fields: [...navigation, ...purpose] });
        assert.deepEqual([answer.status, answer.answerFields.has("set-cookie")], [401, false], path);
      }
  },
};

export const attacks: readonly Attack[] = [
  seenByService,
  setByService,
  storedOutside,
  cookieFlood,
  longHead,
  prefetch,
];
