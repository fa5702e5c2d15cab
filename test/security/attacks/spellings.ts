// Paths that a service receives or reads in another spelling than the policy's.
import assert from "node:assert/strict";
import type { Attack } from "../attack.ts";
import { ask, keys, pathScene, withKey } from "../path-scene.ts";
import { startUpstream } from "../upstream.ts";

const apiKeys = { keys };

export const attacks: readonly Attack[] = [
  {
    row: "Z13",
    what: "lets the upstream's base path make the path of a rule or limit of another",
    async run(scene) {
      const upstream = await startUpstream(scene, ({ method, url }, response) =>
        response.end(`${method} ${url}`),
      );
      const rules = [
        { path: "/api/admin/*", deny: {} },
        { path: "/app/secret", deny: {} },
        { path: "/bare", deny: {} },
      ];
      const auth = { apiKeys, rules, exclude: ["/admin/open", "/open"] };
      const limits = [{ name: "one", by: "ip", limit: 1, window: "1h", when: { paths: ["/api/login"] } }];
      const sidecar = await scene.sidecar({
        upstream: `${upstream}/api`,
        policy: {
          plugins: ["auth", "rate-limit"],
          pluginConfig: { auth, "rate-limit": { limits } },
          routes: [
            { path: "/*" },
            { path: "/v/*", stripPrefix: "/v" },
            { path: "/a/*", stripPrefix: "/a", upstream: `${upstream}/app` },
          ],
        },
      });
      for (const target of ["/admin/x", "/admin;a/x", "/v/admin/x", "/a/secret", "/bare", "/v/bare"]) {
        assert.equal((await ask(sidecar, "GET", target, withKey)).status, 403, target);
      }
      assert.equal(
        (await ask(sidecar, "GET", "/admin/open")).status,
        401,
        "excluded where a rule is about it",
      );
      assert.equal((await ask(sidecar, "GET", "/open")).body, "GET /api/open");
      assert.equal((await ask(sidecar, "GET", "/login", withKey)).body, "GET /api/login");
      assert.equal((await ask(sidecar, "GET", "/v/login", withKey)).status, 429, "second login");
    },
  },
  {
    row: "Z13",
    what: "puts a blank of Unicode at the end of a guarded segment, or leaves its slash away",
    async run(scene) {
      const auth = { apiKeys, rules: [{ path: "/rule/*", deny: {} }] };
      const sidecar = await pathScene(scene, {
        plugins: [],
        pluginConfig: { auth },
        routes: [
          { path: "/*" },
          { path: "/admin/*", plugins: ["auth"] },
          { path: "/exact/", plugins: ["auth"] },
          { path: "/rule/*", plugins: ["auth"] },
          { path: "/ruled/*", stripPrefix: "/ruled", plugins: ["auth"] },
        ],
      });
      // Characters that trim, strip and similar functions remove in JavaScript, Python, Java, C#, Go.
      const blanks = "1680 180e 2000 200a 200b 2028 2029 202f 205f 3000 feff 85 a0 1c 1f 20 9";
      for (const blank of blanks.split(" ").map((hex) => String.fromCodePoint(Number.parseInt(hex, 16)))) {
        const escape = encodeURIComponent(blank);
        for (const target of [`/admin${escape}/x`, `/${escape}admin/x`, `/exact${escape}`]) {
          assert.equal((await ask(sidecar, "GET", target)).status, 400, target);
        }
        const ruled = await ask(sidecar, "GET", `/ruled/rule${escape}/x`, withKey);
        assert.equal(ruled.status, 403, `rule ${escape}`);
      }
      for (const target of ["/exact", "/exact;", "/exact;a"]) {
        const { status } = await ask(sidecar, "GET", target);
        assert.ok(status === 400 || status === 401, `${target}: ${status}`);
      }
      assert.equal((await ask(sidecar, "GET", "/exact/", withKey)).body, "GET /exact/");
      assert.equal((await ask(sidecar, "GET", "/exac")).body, "GET /exac");
    },
  },
];
