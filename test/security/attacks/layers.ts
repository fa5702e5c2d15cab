// A service's layer over locked auth that opens what the shared policy guards, by another path, upstream or case.
import assert from "node:assert/strict";
import type { Scene } from "../../support/scene.ts";
import type { Attack } from "../attack.ts";
import { ask, keys, layeredScene, withKey } from "../path-scene.ts";
import { startUpstream } from "../upstream.ts";

const apiKeys = { keys };
const locked = { plugins: ["auth"], pluginConfig: { auth: { apiKeys } }, locked: ["auth"] };
const admin = { path: "/admin/*", plugins: ["auth"] };
const openBut = (...routes: object[]): object => ({
  ...locked,
  plugins: [],
  routes: [{ path: "/*" }, ...routes],
});
const ruled = (path: string, more: object = {}): object => {
  const rules = [{ path, allow: { roles: { any: ["admin"] } } }];
  return { ...locked, pluginConfig: { auth: { apiKeys, rules, ...more } } };
};

const says = (scene: Scene): Promise<string> =>
  startUpstream(scene, ({ url }, response) => response.end(`got ${url}`));

interface Case {
  readonly shared: object;
  readonly route: object;
  /** Paths to request, with what must not reach the service if the request is not refused. */
  readonly asks: Readonly<Record<string, RegExp>>;
  readonly base?: string;
  readonly fields?: readonly string[];
}

/** Checks that every request is refused, or that the service gets something else. */
async function holds(scene: Scene, own: string, cases: readonly Case[]): Promise<void> {
  const through: string[] = [];
  // One case after the other: they share a Redis.
  for (const { shared, route, asks, base = "", fields = [] } of cases) {
    const sidecar = await layeredScene(scene, shared, { routes: [route] }, `${own}${base}`);
    for (const [target, guarded] of Object.entries(asks)) {
      const { status, body } = await ask(sidecar, "GET", target, fields);
      assert.notEqual(status, 503, body);
      if (status === 200 && guarded.test(body)) through.push(`${JSON.stringify(route)} ${target}: ${body}`);
    }
    await sidecar.stop();
  }
  assert.deepEqual(through, []);
}

export const attacks: readonly Attack[] = [
  {
    row: "Z14",
    what: "strips by a layer's route into another spelling of what is guarded",
    async run(scene) {
      const own = await says(scene);
      const paths = [
        "/v/admin;x=1/*",
        "/v/admin%20/*",
        "/v/%20admin/*",
        "/v/admin;x",
        "/v/admin/",
        "/v/ADMIN/*",
      ];
      const cases = paths.map((path): Case => {
        const guard = path === "/v/ADMIN/*" ? { ...admin, caseInsensitive: true } : admin;
        const route = { path, stripPrefix: "/v", plugins: [] };
        return { shared: openBut(guard), route, asks: { [path.replace("*", "y")]: /^got \/(%20)?admin/i } };
      });
      await holds(scene, own, cases);
    },
  },
  {
    row: "Z14",
    what: "takes by a layer's case-insensitive route what another spelling guards, or widens an exclusion by it",
    async run(scene) {
      const shared = openBut({ path: "/Admin/*", plugins: ["auth"] }, { path: "/Exact", plugins: ["auth"] });
      const anyCase = (path: string): object => ({ path, caseInsensitive: true });
      const excluding = { ...locked, pluginConfig: { auth: { apiKeys, exclude: ["/public/*"] } } };
      await holds(scene, await says(scene), [
        { shared, route: { ...anyCase("/admin/x"), plugins: [] }, asks: { "/Admin/x": /./ } },
        {
          shared,
          route: { ...anyCase("/exact"), plugins: [] },
          asks: { "/Exact": /./, "/EXACT/": /EXACT;/ },
        },
        { shared, route: { ...anyCase("/admin/*"), plugins: [] }, asks: { "/Admin/x": /./ } },
        { shared: excluding, route: anyCase("/*"), asks: { "/PUBLIC/x": /./ } },
        { shared: excluding, route: anyCase("/PUBLIC/*"), asks: { "/PUBLIC/x": /./ } },
      ]);
    },
  },
  {
    row: "Z14",
    what: "puts what is guarded into the base path of a layer's upstream, or leaves that of the service",
    async run(scene) {
      const own = await says(scene);
      const under = (path: string, more: object = {}): object => ({
        path,
        upstream: `${own}/admin`,
        ...more,
      });
      const excluding = ruled("/admin/*", { exclude: ["/public/*"] });
      const rl = (path: string): object => ({ path, upstream: own });
      await holds(scene, own, [
        { shared: openBut(admin), route: under("/x/*", { plugins: [] }), asks: { "/x/y": /admin/ } },
        { shared: ruled("/admin/*"), route: under("/x/*"), asks: { "/x/y": /admin/ }, fields: withKey },
        { shared: ruled("/admin/*"), route: under("/*"), asks: { "/users": /admin/ }, fields: withKey },
        { shared: excluding, route: under("/public/*"), asks: { "/public/y": /admin/ } },
        { shared: locked, route: rl("/c/*"), asks: { "/c/x": /^got \/c/ }, base: "/app", fields: withKey },
        { shared: {}, route: rl("/c/*"), asks: { "/c/x": /^got \/c/ }, base: "/app" },
        {
          shared: openBut(admin),
          route: { path: "/x", stripPrefix: "/x", upstream: `${own}/admin/u`, plugins: [] },
          asks: { "/x": /admin/ },
        },
      ]);
    },
  },
  {
    row: "Z14",
    what: "reaches what the shared policy guards at a stripped path, or at another upstream, by a path of the layer's own",
    async run(scene) {
      const own = await says(scene);
      const legacy = await startUpstream(scene, ({ url }, response) => response.end(`legacy ${url}`));
      const shared = openBut({
        path: "/legacy/*",
        stripPrefix: "/legacy",
        upstream: legacy,
        plugins: ["auth"],
      });
      const routed = {
        ...ruled("/legacy/*"),
        routes: [{ path: "/*" }, { path: "/legacy/*", stripPrefix: "/legacy", upstream: legacy }],
      };
      const only = { ...ruled("/api/admin/*"), routes: [{ path: "/api/*", stripPrefix: "/api" }] };
      const l2 = { path: "/l2/*", stripPrefix: "/l2", upstream: legacy, plugins: [] };
      const falls = { path: "/admin/*", stripPrefix: "/admin", upstream: legacy, plugins: [] };
      const cases: Case[] = [
        {
          shared,
          route: { path: "/users/*", upstream: legacy, plugins: [] },
          asks: { "/users/1": /legacy/ },
        },
        { shared, route: { path: "/*", upstream: legacy, plugins: [] }, asks: { "/users/1": /legacy/ } },
        { shared, route: l2, asks: { "/l2/users/1": /legacy/ } },
        {
          shared: routed,
          route: { path: "/mine/*", upstream: legacy },
          asks: { "/mine/x": /legacy/ },
          fields: withKey,
        },
        {
          shared: routed,
          route: { path: "/legacy/v/*", stripPrefix: "/legacy/v", upstream: legacy },
          asks: { "/legacy/v/x": /legacy/ },
          fields: withKey,
        },
        { shared: only, route: { path: "/admin/*" }, asks: { "/admin/x": /./ }, fields: withKey },
        {
          shared: only,
          route: { path: "/v/*", stripPrefix: "/v" },
          asks: { "/v/admin/x": /./ },
          fields: withKey,
        },
        { shared: openBut(admin), route: falls, asks: { "/admin/x": /./ } },
      ];
      await holds(scene, own, cases);
    },
  },
];
