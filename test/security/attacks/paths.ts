// Requests that a policy reads in one way and a service in another.
import assert from "node:assert/strict";
import type { Attack } from "../attack.ts";
import { ask, keys, layeredScene, pathScene, withKey } from "../path-scene.ts";
import { startUpstream } from "../upstream.ts";

const apiKeys = { keys };
const scopes = (name: string): object => ({ scopes: { all: [name] } });

export const attacks: readonly Attack[] = [
  {
    row: "Z11",
    what: "asks with HEAD for what rules and limits on GET hold back",
    async run(scene) {
      const rules = [
        { path: "/allowed/*", methods: ["GET"], allow: scopes("admin") },
        { path: "/denied/*", methods: ["GET"], deny: {} },
      ];
      const limit = { name: "one", by: "ip", limit: 1, window: "1h", when: { methods: ["GET"] } };
      const sidecar = await pathScene(scene, {
        routes: [
          {
            path: "/limited/*",
            plugins: ["rate-limit"],
            pluginConfig: { "rate-limit": { limits: [limit] } },
          },
          { path: "/*", plugins: ["auth"], pluginConfig: { auth: { apiKeys, rules } } },
        ],
      });
      for (const method of ["GET", "HEAD"]) {
        assert.equal((await ask(sidecar, method, "/allowed/x", withKey)).status, 403, `${method} allowed`);
        assert.equal((await ask(sidecar, method, "/denied/x", withKey)).status, 403, `${method} denied`);
      }
      assert.equal((await ask(sidecar, "HEAD", "/limited/x")).status, 200);
      assert.equal((await ask(sidecar, "HEAD", "/limited/x")).status, 429, "second HEAD");
    },
  },
  {
    row: "Z12",
    what: "hides a guarded path in one of an open route by encodings that some services decode",
    async run(scene) {
      const sidecar = await pathScene(scene, {
        plugins: [],
        routes: [
          { path: "/*" },
          { path: "/public/*" },
          { path: "/admin/*", plugins: ["auth"], pluginConfig: { auth: { apiKeys } } },
        ],
      });
      for (const target of [
        "/public/..%2fadmin",
        "/public/..%2Fadmin/x",
        "/public/..\\admin",
        "/public/..%5cadmin",
        "/public\\..\\admin",
        "/public/%252e%252e/admin",
        "/public/..%252fadmin",
        "/public/%2e%2e%252fadmin",
        "/public/..%25%32%66admin",
        "/public/..%c0%afadmin",
        "/public/%c0%ae%c0%ae/admin",
        "/public/x%00",
        "/public/..;/admin",
        "/public/..%3b/admin",
        "/public/..%09/admin",
        "/admin%2fx",
        "/%2561dmin/x",
        "/admin%3fx",
      ]) {
        const { status, body } = await ask(sidecar, "GET", target);
        assert.ok(status === 400 || status === 401, `${target}: ${status} ${body}`);
      }
      for (const target of ["/public/100%25", "/public/a%2Fb", "/public/caf%C3%A9", "/public/50%25off"]) {
        assert.equal((await ask(sidecar, "GET", target)).body, `GET ${target}`);
      }
    },
  },
  {
    row: "Z13",
    what: "adds parameters, a slash or capitals to the path of a rule",
    async run(scene) {
      const rules = [
        { path: "/admin/*", allow: scopes("admin") },
        { path: "/exact", allow: scopes("admin") },
      ];
      const auth = { apiKeys, rules };
      const sidecar = await pathScene(scene, {
        plugins: [],
        routes: [
          { path: "/*", plugins: ["auth"], pluginConfig: { auth } },
          { path: "/open/*" },
          { path: "/open/secret/*", plugins: ["auth"], pluginConfig: { auth } },
          { path: "/open/login", plugins: ["auth"], pluginConfig: { auth } },
        ],
      });
      for (const target of [
        "/admin;a=1/x",
        "/admin%3Ba=1/x",
        "/admin%20/x",
        "/exact/",
        "/exact;a",
        "/exact%09",
      ]) {
        const { status, body } = await ask(sidecar, "GET", target, withKey);
        assert.equal(status, 403, `${target}: ${status} ${body}`);
      }
      for (const target of ["/open/secret;a/x", "/open/secret%3Ba/x", "/open/login/", "/open/login;a"]) {
        assert.equal((await ask(sidecar, "GET", target)).status, 400, target);
      }
      for (const target of ["/open/x/", "/open/x;a=1", "/open/Secret"]) {
        assert.equal((await ask(sidecar, "GET", target)).body, `GET ${target}`);
      }
    },
  },
  {
    row: "Z13",
    what: "writes the path of a rule in capitals before a service that takes no notice of case",
    async run(scene) {
      const rules = [{ path: "/Admin/*", allow: scopes("admin") }];
      const sidecar = await pathScene(scene, {
        plugins: [],
        routes: [
          { path: "/*", caseInsensitive: true },
          {
            path: "/api/*",
            caseInsensitive: true,
            plugins: ["auth"],
            pluginConfig: { auth: { apiKeys, rules } },
          },
          {
            path: "/admin/*",
            caseInsensitive: true,
            plugins: ["auth"],
            pluginConfig: { auth: { apiKeys, rules } },
          },
        ],
      });
      for (const target of ["/API/x", "/api/x", "/ADMIN/x", "/aDmin", "/ADMIN;a/x"]) {
        const { status } = await ask(sidecar, "GET", target);
        assert.ok(status === 401 || status === 400, `${target} without a key: ${status}`);
      }
      assert.equal((await ask(sidecar, "GET", "/aDMIN/x", withKey)).status, 403);
      assert.equal((await ask(sidecar, "GET", "/API/x", withKey)).body, "GET /API/x");
      assert.equal((await ask(sidecar, "GET", "/Open")).body, "GET /Open");
    },
  },
  {
    row: "Z14",
    what: "strips the path of an exclusion so that the service gets the path of a rule",
    async run(scene) {
      const auth = { apiKeys, exclude: ["/public/*"], rules: [{ path: "/admin/*", allow: scopes("admin") }] };
      const sidecar = await layeredScene(
        scene,
        { plugins: ["auth"], pluginConfig: { auth }, locked: ["auth"] },
        { routes: [{ path: "/public/*", stripPrefix: "/public" }] },
      );
      assert.equal((await ask(sidecar, "GET", "/public/admin/x")).status, 401);
      assert.equal((await ask(sidecar, "GET", "/public/admin/x", withKey)).status, 403);
      assert.equal((await ask(sidecar, "GET", "/public/other")).status, 401, "excluded on one path only");
      assert.equal((await ask(sidecar, "GET", "/public/public/x")).status, 200, "excluded on both");
    },
  },
  {
    row: "Z14",
    what: "strips by a layer's route without auth into paths that the shared policy guards",
    async run(scene) {
      const shared = {
        plugins: ["auth"],
        pluginConfig: { auth: { apiKeys } },
        locked: ["auth"],
        routes: [{ path: "/*" }, { path: "/public/*", plugins: [] }],
      };
      for (const route of [
        { path: "/public/v/*", stripPrefix: "/public/v", plugins: [] },
        { path: "/public;v=1/*", plugins: [] },
        { path: "/admin%20/*", plugins: [] },
      ]) {
        const sidecar = await layeredScene(scene, shared, { routes: [route] });
        const target = route.path.replace("*", "admin/x");
        const { status, body } = await ask(sidecar, "GET", target);
        assert.ok(status === 401 || status === 400, `${target}: ${status} ${body}`);
        await sidecar.stop();
      }
    },
  },
  {
    row: "Z15",
    what: "has a layer say who calls, and send requests to whatever else listens on the machine",
    async run(scene) {
      const other = await startUpstream(scene, (_request, response) => response.end("other"));
      const shared = {
        plugins: ["auth", "transform"],
        pluginConfig: { auth: { apiKeys }, transform: { addHeaders: { "X-Forwarded-User": "$userId" } } },
        locked: ["auth"],
      };
      const layer = {
        plugins: ["auth"],
        routes: [
          {
            path: "/set",
            plugins: ["auth", "transform"],
            pluginConfig: {
              transform: { addHeaders: { "x-user-id": "root", X_Forwarded_User: "root", "X-Team": "a" } },
            },
          },
          { path: "/other", upstream: other },
          { path: "/dropped" },
        ],
      };
      const sidecar = await layeredScene(scene, shared, layer);
      const seen = async (path: string, ...fields: string[]): Promise<string> =>
        (await ask(sidecar, "GET", path, [...withKey, ...fields])).body;
      assert.equal(await seen("/set"), "GET /set id=u1 user=u1 team=a");
      assert.equal(
        await seen("/dropped", "X-Forwarded-User: root", "X-User-Id: root"),
        "GET /dropped id=undefined user=undefined team=undefined",
      );
      assert.match(await seen("/other"), /^GET \/other /, "the service's own upstream");
    },
  },
  {
    row: "Z32",
    what: "slips through a route that takes encoded slashes to another rule or route",
    async run(scene) {
      const rules = [{ path: "/projects/secret/*", allow: scopes("admin") }];
      const auth = { apiKeys, rules };
      const sidecar = await pathScene(scene, {
        plugins: ["auth"],
        pluginConfig: { auth },
        routes: [
          { path: "/projects/*", encodedSlash: "segment" },
          { path: "/projects/open/*", plugins: [] },
          { path: "/strict/*", encodedSlash: "refuse", plugins: [] },
          { path: "/*" },
        ],
      });
      const good = await ask(sidecar, "GET", "/projects/group%2Fname", withKey);
      assert.equal(good.body, "GET /projects/group%2Fname");
      for (const target of [
        "/projects/secret%2Fx",
        "/projects/open%2Fx",
        "/projects/..%2Fother",
        "/projects/a%252Fb",
        "/other/a%2Fb",
        "/strict/a%2Fb",
      ]) {
        assert.equal((await ask(sidecar, "GET", target, withKey)).status, 400, target);
      }
      assert.equal((await ask(sidecar, "GET", "/projects/group%2Fname")).status, 401, "without a key");
    },
  },
];
