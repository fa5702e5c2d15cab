// What no layer may set: who the caller is, where else requests go, and what opens a lock by another spelling or path.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { registry } from "../../../../plugins/index.ts";
import { parseUpstream } from "../../../../src/config/formats.ts";
import { type Confined, confineLayer, identityFields } from "../../../../src/policy/layers/confine-layer.ts";
import { applyLayer } from "../../../../src/policy/layers/layers.ts";
import { pathText } from "../../../../src/policy/document/problems.ts";
import type { PolicyDocument } from "../../../../src/policy/document/schema.ts";
import { createPolicyReader } from "../../../../src/policy/read.ts";
import { documentOf, saidOf, text } from "../sample.ts";

const plugins = Object.fromEntries(registry.map((plugin) => [plugin.name, plugin]));
const ownUpstream = parseUpstream("http://127.0.0.1:3000");
const said = ({ broken }: Pick<Confined, "broken">): string[] =>
  broken.map(({ path, message }) => `${pathText(path)}: ${message}`);

const plain = (members: object): PolicyDocument => ({ apiVersion: "outrigger/v1", ...members });
const confined = (shared: object, layer: object): Confined =>
  confineLayer(plain(layer), plain(shared), { plugins, service: "users", ownUpstream });

describe("a layer's fields towards the service", () => {
  const shared = {
    pluginConfig: {
      transform: { addHeaders: { "X-Forwarded-User": "$userId", "X-Env": "prod", "X-Odd": "$$userId" } },
    },
    routes: [{ path: "/a", pluginConfig: { auth: { assertion: {} } } }],
  };

  test("are not those by which the shared policy says who calls, in any spelling", () => {
    const addHeaders = {
      "x-user-ID": "1",
      X_User_Roles: "admin",
      x_forwarded_user: "root",
      "X-Outrigger-Identity": "x",
    };
    const layer = { routes: [{ path: "/b", pluginConfig: { transform: { addHeaders } } }] };
    const { document, broken } = confined(shared, layer);
    assert.deepEqual(
      broken.map(({ path }) => pathText(path)),
      Object.keys(addHeaders).map((name) =>
        pathText(["routes", 0, "pluginConfig", "transform", "addHeaders", name]),
      ),
    );
    assert.deepEqual(document.routes, [{ path: "/b", pluginConfig: { transform: { addHeaders: {} } } }]);
  });

  test("may be any other", () => {
    const layer = {
      pluginConfig: { transform: { addHeaders: { "X-Env": "test", "X-Team": "$userId", "X-Odd": "1" } } },
    };
    assert.deepEqual(confined(shared, layer), { document: plain(layer), broken: [] });
  });

  test("are told of as written, whatever that is", () => {
    for (const transform of [{}, { addHeaders: null }, { addHeaders: [1] }, { addHeaders: { a: 1 } }]) {
      assert.deepEqual(confined(shared, { pluginConfig: { transform } }).broken, []);
    }
  });

  test("and the shared policy's own are no client's to send", () => {
    assert.deepEqual([...identityFields(plain(shared), plugins)].sort(), [
      "x-forwarded-user",
      "x-outrigger-identity",
    ]);
  });
});

describe("what other services hear of", () => {
  const fleet = { name: "quota", limit: 10, window: "1h", sharedBy: "fleet" };
  const shared = {
    pluginConfig: { auth: { assertion: { audience: "a", header: "x-who" } } },
    routes: [
      { path: "/a", pluginConfig: { "rate-limit": { limits: [fleet] } } },
      {
        path: "/b",
        services: ["other"],
        pluginConfig: { auth: { assertion: { audience: "b", header: "x-who" } } },
      },
    ],
  };
  const over = (pluginConfig: object): Confined => confined(shared, { pluginConfig });

  test("is the shared policy's to say", () => {
    const assertion = { audience: "b", issuer: "i", key: "SECRET_X", claims: [], lifetimeSeconds: 9 };
    const limits = [{ ...fleet, cost: 10 }];
    const { document, broken } = over({
      auth: { assertion },
      "rate-limit": { limits, plans: { free: [fleet] } },
    });
    assert.deepEqual(
      broken.map(({ path }) => pathText(path)),
      [
        "auth.assertion.audience",
        "auth.assertion.issuer",
        "auth.assertion.key",
        "auth.assertion.claims",
        "rate-limit.limits",
        "rate-limit.plans.free",
      ].map((path) => `pluginConfig.${path}`),
    );
    assert.deepEqual(document.pluginConfig, {
      auth: { assertion: { lifetimeSeconds: 9 } },
      "rate-limit": { plans: {} },
    });
  });

  test("may be repeated as it is, and limits of the service's own be added", () => {
    const limits = [fleet, { name: "own", limit: 1, window: "1s" }];
    assert.deepEqual(over({ auth: { assertion: { audience: "a" } }, "rate-limit": { limits } }).broken, []);
    assert.deepEqual(over({ auth: { assertion: null }, "rate-limit": { limits: 5, plans: [] } }).broken, []);
  });
});

describe("a layer's upstream", () => {
  const routes = [
    { path: "/a", upstream: "http://127.0.0.1:4000" },
    { path: "/b", upstream: "http://127.0.0.1:5000", services: ["other"] },
  ];

  test("is the service's own or one that the shared policy names for it", () => {
    for (const upstream of ["http://127.0.0.1:3000", "http://127.0.0.1:3000/", "http://127.0.0.1:4000"]) {
      assert.deepEqual(confined({ routes }, { routes: [{ path: "/c", upstream }] }).broken, [], upstream);
    }
    for (const upstream of [
      "http://127.0.0.1:5000",
      "unix:/run/docker.sock",
      "https://127.0.0.1:3000",
      "http://[::1]:9901",
    ]) {
      const { broken, document } = confined({ routes }, { routes: [{ path: "/c", upstream, timeout: 5 }] });
      assert.deepEqual(said({ broken }), [
        "routes[0].upstream: must be the service's own upstream, or one that the shared policy names for it",
      ]);
      assert.deepEqual(document.routes, [{ path: "/c", timeout: 5 }]);
    }
  });

  test("does not leave the base path of those", () => {
    const based = (upstream: string): number => {
      const options = { plugins, service: "users", ownUpstream: parseUpstream("http://127.0.0.1:3000/app") };
      return confineLayer(plain({ routes: [{ path: "/c", upstream }] }), plain({}), options).broken.length;
    };
    assert.equal(based("http://127.0.0.1:3000/app/"), 0);
    assert.equal(based("http://127.0.0.1:3000/app/v2"), 0);
    assert.equal(based("http://127.0.0.1:3000"), 1);
    assert.equal(based("http://127.0.0.1:3000/apple"), 1);
  });

  test("refuses a new layer, and is left out of a standing one", async () => {
    const read = await createPolicyReader({
      plugins,
      service: "users",
      ownUpstream,
      upstreamAllow: undefined,
      keys: undefined,
    });
    const raw = {
      shared: Buffer.from(text({ routes })),
      layer: Buffer.from(text({ routes: [{ path: "/c", upstream: "unix:/run/docker.sock" }] })),
      format: "any" as const,
    };
    assert.match((await saidOf(() => read(raw))).join(), /^routes\[0\]\.upstream: must be the service's own/);
    const { overruled, routes: effective } = await read({ ...raw, standing: true });
    assert.match(overruled.map(({ path }) => path).join(), /^routes\[0\]\.upstream$/);
    assert.equal(effective.find(({ path }) => path === "/c")?.upstream, undefined);
  });
});

describe("under a lock", () => {
  const over = (shared: object, layer: object) =>
    applyLayer(documentOf({ plugins: ["auth"], locked: ["auth"], ...shared }), documentOf(layer), "users");

  test("another spelling of a shared path is no path of its own", () => {
    const shared = { routes: [{ path: "/*", plugins: [] }, { path: "/admin/*" }, { path: "/exact" }] };
    for (const path of ["/admin;v=1/*", "/admin%20/x", "/exact/", "/exact;a"]) {
      const { broken, effective } = over(shared, { routes: [{ path, plugins: [] }] });
      assert.deepEqual(said({ broken }), [
        "routes[0].path: is another spelling of what the shared policy routes and locks plugins for",
      ]);
      assert.equal(effective.routes.length, 3, path);
    }
    assert.deepEqual(over(shared, { routes: [{ path: "/open/", plugins: [] }] }).broken, []);
  });

  test("a stripped path needs the plugin of the paths that the service gets", () => {
    const shared = {
      routes: [
        { path: "/*" },
        { path: "/public/*", plugins: [] },
        { path: "/api/*", stripPrefix: "/api", plugins: [] },
      ],
    };
    const strips = { path: "/public/v/*", stripPrefix: "/public/v", plugins: [] };
    const { broken, effective } = over(shared, { routes: [strips] });
    assert.deepEqual(said({ broken }), ['routes[0].plugins: must run "auth", which the shared policy locks']);
    assert.deepEqual(effective.routes.at(-1)?.plugins, ["auth"]);
    assert.deepEqual(
      over(shared, { routes: [{ ...strips, stripPrefix: "/public", path: "/public/public/*" }] }).broken,
      [],
    );
    assert.deepEqual(
      over(shared, { routes: [{ path: "/api/x/*", stripPrefix: "/api", plugins: [] }] }).broken,
      [],
    );
  });

  test("a stripped path may not lead to differently configured ones", () => {
    const shared = {
      routes: [{ path: "/*" }, { path: "/b/*", pluginConfig: { auth: { required: false } } }],
    };
    const { broken, effective } = over(shared, { routes: [{ path: "/a/*", stripPrefix: "/a" }] });
    assert.match(said({ broken }).join(), /^routes\[0\]\.stripPrefix: reaches paths/);
    assert.equal(effective.routes.length, 2);
  });

  test("what the service gets may be no path that the shared policy's rules know by another", () => {
    const auth = { rules: [{ path: "/api/admin/*", deny: {} }] };
    const routes = [{ path: "/api/*", stripPrefix: "/api" }];
    const knows = { ...plain({ plugins: ["auth"], pluginConfig: { auth }, locked: ["auth"] }), routes };
    const flaw = (shared: PolicyDocument, route: object): string =>
      said(applyLayer(shared, plain({ routes: [route] }), "users")).join();
    for (const route of [{ path: "/admin/*" }, { path: "/x" }, { path: "/v/*", stripPrefix: "/v" }]) {
      assert.match(flaw(knows, route), /^routes\[0\]\.(path|stripPrefix): reaches what locked plugins/);
    }
    // Rules that hold on what the service gets, and paths that the shared policy passes on as they are.
    const wire = { ...knows, pluginConfig: { auth: { rules: [{ path: "/admin/*", deny: {} }] } } };
    assert.equal(flaw(wire, { path: "/x" }), "");
    assert.equal(
      flaw({ ...knows, routes: [...routes, { path: "/*" }] }, { path: "/v/*", stripPrefix: "/v" }),
      "",
    );
    assert.equal(flaw(knows, { path: "/api/x/*", stripPrefix: "/api", plugins: ["auth", "cache"] }), "");
  });

  test("an upstream is the one that the shared policy has there", () => {
    const legacy = "http://127.0.0.1:4000";
    const shared = { locked: ["auth"], routes: [{ path: "/*" }, { path: "/legacy/*", upstream: legacy }] };
    const flaws = (route: object): number => confined(shared, { routes: [route] }).broken.length;
    assert.equal(flaws({ path: "/legacy/x", upstream: legacy }), 0);
    assert.equal(flaws({ path: "/x", upstream: "http://127.0.0.1:3000/" }), 0);
    assert.equal(flaws({ path: "/x", upstream: legacy }), 1);
    assert.equal(flaws({ path: "/x", upstream: "http://127.0.0.1:3000/app" }), 1);
    assert.equal(flaws({ path: "/legacy/x", upstream: "http://127.0.0.1:3000" }), 1);
  });

  test("what a refused route would have replaced stays in force", () => {
    const shared = {
      plugins: [],
      routes: [{ path: "/*" }, { path: "/a/*", upstream: "http://127.0.0.1:4000", plugins: ["auth"] }],
    };
    const layer = {
      routes: [{ path: "/a/*", stripPrefix: "/a", upstream: "http://127.0.0.1:4000", plugins: [] }],
    };
    const { effective, broken } = over(shared, layer);
    assert.match(said({ broken }).join(), /^routes\[0\]\.stripPrefix: must be as the shared policy has it/);
    assert.deepEqual(effective.routes, shared.routes);
  });

  test("no layer makes a route case-insensitive", () => {
    const shared = { routes: [{ path: "/*" }, { path: "/admin/*", caseInsensitive: true }] };
    for (const path of ["/x", "/*"]) {
      const { broken, effective } = over(shared, { routes: [{ path, caseInsensitive: true }] });
      assert.deepEqual(said({ broken }), [
        "routes[0].caseInsensitive: is for the shared policy to say, which locks plugins",
      ]);
      assert.deepEqual(effective.routes.at(-1), { path });
    }
    assert.deepEqual(over(shared, { routes: [{ path: "/admin/x", caseInsensitive: true }] }).broken, []);
  });

  test("case stays what the shared policy says of the service", () => {
    const shared = { routes: [{ path: "/admin/*", caseInsensitive: true }] };
    const { effective } = over(shared, { routes: [{ path: "/admin/*", caseInsensitive: false }] });
    assert.equal(effective.routes.at(-1)?.caseInsensitive, true);
    assert.equal(over(shared, { routes: [{ path: "/ADMIN/x", plugins: [] }] }).broken.length, 1);
  });
});
