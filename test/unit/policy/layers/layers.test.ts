// A service's layer over the shared policy: what it may change, and that no layer evades a lock.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { type Layered, applyLayer, merge } from "../../../../src/policy/layers/layers.ts";
import { pathText } from "../../../../src/policy/document/problems.ts";
import type { PluginConfig, PolicyDocument, PolicyRoute } from "../../../../src/policy/document/schema.ts";
import { Router } from "../../../../src/routing/router.ts";
import { documentOf } from "../sample.ts";

function layered(shared: object, layer?: object, service = "users"): Layered {
  return applyLayer(documentOf(shared), layer === undefined ? undefined : documentOf(layer), service);
}

const broken = (shared: object, layer: object): string[] =>
  layered(shared, layer).broken.map(({ path, message }) => `${pathText(path)}: ${message}`);

describe("the effective policy", () => {
  test("without routes is one route that takes everything, with logging and transform", () => {
    const { effective } = layered({});
    assert.deepEqual(effective.plugins, ["logging", "transform"]);
    assert.deepEqual(effective.routes, [{ path: "/*" }]);
    assert.deepEqual(layered({ routes: [] }).effective.routes, []);
  });

  test("has only this service's routes, and none when all are for others", () => {
    const routes = [{ path: "/a", services: ["users"] }, { path: "/b", services: ["other"] }, { path: "/c" }];
    assert.deepEqual(layered({ routes }).effective.routes, [{ path: "/a" }, { path: "/c" }]);
    assert.deepEqual(layered({ routes: routes.slice(1, 2) }).effective.routes, []);
  });

  test("merges objects deep and replaces arrays and scalars", () => {
    const { effective } = layered(
      { pluginConfig: { auth: { required: true, jwt: { issuer: "a", audience: ["x", "y"] } } } },
      { pluginConfig: { auth: { required: false, jwt: { audience: ["z"] } }, cache: { ttlSeconds: 5 } } },
    );
    assert.deepEqual(effective.pluginConfig, {
      auth: { required: false, jwt: { issuer: "a", audience: ["z"] } },
      cache: { ttlSeconds: 5 },
    });
  });

  test("takes the layer's routes beside the shared ones, and in place of those with the same path and method", () => {
    const { effective, origins } = layered(
      {
        routes: [
          { path: "/a/*", methods: ["GET", "PUT"], timeout: 1 },
          { path: "/b", timeout: 2 },
        ],
      },
      {
        routes: [{ path: "/a/*", methods: ["PUT"], timeout: 3 }, { path: "/c" }, { path: "/b", timeout: 4 }],
      },
    );
    assert.deepEqual(effective.routes, [
      { path: "/a/*", methods: ["GET"], timeout: 1 },
      { path: "/a/*", methods: ["PUT"], timeout: 3 },
      { path: "/c" },
      { path: "/b", timeout: 4 },
    ]);
    assert.deepEqual(
      origins.map(({ from, index }) => `${from} ${index}`),
      ["shared 0", "layer 0", "layer 1", "layer 2"],
    );
  });
});

describe("a lock", () => {
  const shared = {
    plugins: ["logging", "auth"],
    pluginConfig: { auth: { required: true } },
    locked: ["auth"],
    routes: [
      { path: "/api/*", pluginConfig: { auth: { exclude: ["/api/x"] } } },
      { path: "/public/*", plugins: ["logging"] },
    ],
  };

  test("keeps a layer from configuring the plugin, at the top and on any route", () => {
    const config = { auth: { required: false } };
    const routes = [
      { path: "/new", pluginConfig: config },
      { path: "/api/*", pluginConfig: { auth: {} } },
    ];
    assert.deepEqual(broken(shared, { pluginConfig: config, routes }), [
      'pluginConfig.auth: configures "auth", which the shared policy locks',
      'routes[0].pluginConfig.auth: configures "auth", which the shared policy locks',
      'routes[1].pluginConfig.auth: configures "auth", which the shared policy locks',
    ]);
  });

  test("keeps a layer from dropping the plugin: from the defaults, from a route, on a more specific path", () => {
    assert.deepEqual(broken(shared, { plugins: ["logging"] }), [
      'plugins: drops "auth", which the shared policy locks',
    ]);
    for (const path of ["/api/*", "/api/admin", "/api/a/b/*", "/api", "/api/"]) {
      assert.deepEqual(
        broken(shared, { routes: [{ path, plugins: ["logging"] }] }),
        ['routes[0].plugins: must run "auth", which the shared policy locks'],
        path,
      );
    }
  });

  test("holds on whatever the layer newly opens", () => {
    for (const route of [{ path: "/new" }, { path: "/*" }, { path: "/public", plugins: ["auth"] }]) {
      assert.deepEqual(broken(shared, { routes: [route] }), [], route.path);
    }
    assert.deepEqual(broken(shared, { routes: [{ path: "/new", plugins: ["cache"] }] }), [
      'routes[0].plugins: must run "auth", which the shared policy locks',
    ]);
  });

  test("does not ask for the plugin where the shared policy does without it", () => {
    const routes = [
      { path: "/public/*", plugins: ["logging", "cache"] },
      { path: "/public/x", plugins: [] },
    ];
    assert.deepEqual(broken(shared, { routes }), []);
  });

  test("carries the shared route's options of the plugin over to the layer's route", () => {
    const { effective } = layered(shared, {
      routes: [{ path: "/api/admin", pluginConfig: { cache: { ttlSeconds: 1 } } }],
    });
    assert.deepEqual(effective.routes.at(-1)?.pluginConfig, {
      auth: { exclude: ["/api/x"] },
      cache: { ttlSeconds: 1 },
    });
  });

  test("is refused a route over two differently guarded ones", () => {
    const byMethod = {
      locked: ["auth"],
      plugins: ["auth"],
      routes: [
        { path: "/a/*", methods: ["GET"], pluginConfig: { auth: { required: false } } },
        { path: "/a/*", methods: ["PUT"] },
      ],
    };
    assert.deepEqual(broken(byMethod, { routes: [{ path: "/a/b", methods: ["GET", "PUT"] }] }), [
      'routes[0].methods: "auth" is locked and configured by method here: write one route for each',
    ]);
    assert.deepEqual(
      broken(byMethod, {
        routes: [
          { path: "/a/b", methods: ["HEAD"] },
          { path: "/a/b", methods: ["PUT"] },
        ],
      }),
      [],
    );
    // HEAD goes where GET goes, and so do the options.
    const { effective } = layered(byMethod, { routes: [{ path: "/a/b", methods: ["HEAD"] }] });
    assert.deepEqual(effective.routes.at(-1)?.pluginConfig, { auth: { required: false } });
  });

  test("overrules what stands against it: the plugin runs, by method too, and the rest of the layer stays", () => {
    const { effective } = layered(
      {
        plugins: ["logging", "auth"],
        locked: ["auth"],
        routes: [
          { path: "/*" },
          { path: "/a/*", methods: ["GET"], pluginConfig: { auth: { required: false } } },
          { path: "/a/*", methods: ["PUT"] },
        ],
      },
      {
        plugins: ["logging", "cache"],
        pluginConfig: { auth: { required: false }, cache: { ttlSeconds: 9 } },
        routes: [
          { path: "/x", plugins: [], timeout: 7, pluginConfig: { auth: { required: false } } },
          { path: "/a/b", timeout: 8 },
        ],
      },
    );
    assert.deepEqual(effective.plugins, ["logging", "cache", "auth"]);
    assert.deepEqual(effective.pluginConfig, { cache: { ttlSeconds: 9 } });
    assert.deepEqual(effective.routes.slice(3), [
      { path: "/x", plugins: ["auth"], timeout: 7 },
      { path: "/a/b", timeout: 8, methods: ["GET", "HEAD"], pluginConfig: { auth: { required: false } } },
      { path: "/a/b", timeout: 8, methods: ["PUT"] },
      { path: "/a/b", timeout: 8 },
    ]);
  });

  test("cannot be set away, or set, by the layer", () => {
    const only = ["locked: only the shared policy locks plugins"];
    assert.deepEqual(broken(shared, { locked: [] }), only);
    assert.deepEqual(broken(shared, { locked: ["auth", "cache"] }), only);
    assert.deepEqual(broken(shared, { locked: ["auth"] }), []);
    assert.deepEqual(layered(shared, { locked: [] }).effective.locked, ["auth"]);
  });
});

// Small alphabets, so that paths, methods and plugins meet.
const plugin = fc.constantFrom("logging", "auth", "cache");
const config = fc.dictionary(
  plugin,
  fc.record(
    {
      required: fc.boolean(),
      jwt: fc.record({ issuer: fc.constantFrom("a", "b") }, { requiredKeys: [], noNullPrototype: true }),
    },
    { requiredKeys: [], noNullPrototype: true },
  ),
  { maxKeys: 2, noNullPrototype: true },
);
const path = fc.constantFrom("/", "/*", "/a", "/a/*", "/a/b", "/a/b/*", "/a/b/", "/c/*");
const route: fc.Arbitrary<PolicyRoute> = fc.record(
  {
    path,
    methods: fc.uniqueArray(fc.constantFrom("GET", "HEAD", "PUT"), { minLength: 1 }),
    services: fc.constantFrom(["users"], ["other"], ["users", "other"]),
    plugins: fc.uniqueArray(plugin),
    pluginConfig: config,
    timeout: fc.constantFrom(1, 2),
  },
  { requiredKeys: ["path"], noNullPrototype: true },
);
/** As validation lets them through: one route for a path and method. */
const routes = fc
  .array(route, { maxLength: 6 })
  .map((list) =>
    list.filter((each, index) =>
      list
        .slice(0, index)
        .every(
          (other) =>
            other.path !== each.path ||
            (other.methods === undefined) !== (each.methods === undefined) ||
            (other.methods ?? ["*"]).every((method) => !(each.methods ?? ["*"]).includes(method)),
        ),
    ),
  );
const document: fc.Arbitrary<PolicyDocument> = fc.record(
  {
    apiVersion: fc.constant("outrigger/v1" as const),
    plugins: fc.uniqueArray(plugin),
    pluginConfig: config,
    locked: fc.uniqueArray(plugin),
    routes,
  },
  { requiredKeys: ["apiVersion"], noNullPrototype: true },
);

/** What runs for a request, as the real router finds it: plugin -> merged options; undefined = not routed. */
function enforced(
  { effective }: Layered,
  requestPath: string,
  method: string,
): Map<string, unknown> | undefined {
  const router = new Router(
    effective.routes.map((route) => [route, { path: route.path, methods: route.methods }]),
  );
  const match = router.match(requestPath, method);
  if (match.kind !== "found") return undefined;
  const { plugins = effective.plugins, pluginConfig = {} } = match.route;
  return new Map(
    plugins.map((name) => [name, merge(effective.pluginConfig[name] ?? {}, pluginConfig[name] ?? {})]),
  );
}

const without = (config: PolicyDocument["pluginConfig"], names: readonly string[] = []): PluginConfig =>
  Object.fromEntries(Object.entries(config ?? {}).filter(([name]) => !names.includes(name)));

describe("for any shared policy and any layer", () => {
  test("a layer weakens no lock, for any request, whether it is taken whole or overruled", () => {
    let taken = 0;
    let overruled = 0;
    fc.assert(
      fc.property(document, document, (shared, layer) => {
        const over = applyLayer(shared, layer, "users");
        if (over.broken.length > 0) overruled += 1;
        else taken += 1;
        const alone = applyLayer(shared, undefined, "users");
        for (const requestPath of ["/", "/a", "/a/", "/a/b", "/a/b/", "/a/b/c", "/a/x", "/c", "/c/d", "/z"]) {
          for (const method of ["GET", "HEAD", "PUT", "POST"]) {
            const before = enforced(alone, requestPath, method);
            const after = enforced(over, requestPath, method);
            for (const name of shared.locked ?? []) {
              if (after === undefined) continue;
              if (before === undefined)
                assert.ok(after.has(name), `${method} ${requestPath} opened without ${name}`);
              else if (before.has(name))
                assert.deepEqual(after.get(name), before.get(name), `${method} ${requestPath}`);
            }
          }
        }
      }),
      { numRuns: 4000 },
    );
    assert.ok(taken > 500 && overruled > 500, `${taken} layers taken, ${overruled} overruled: says little`);
  });

  test("what the locks leave of a layer is a layer that they leave whole", () => {
    fc.assert(
      fc.property(document, document, (shared, layer) => {
        const over = applyLayer(shared, layer, "users");
        const keys = over.effective.routes.flatMap(({ path, methods = ["*"] }) =>
          methods.map((method) => `${method} ${path}`),
        );
        assert.equal(new Set(keys).size, keys.length, "one route for a path and method");
        const lawful = {
          ...layer,
          plugins: over.effective.plugins,
          pluginConfig: without(layer.pluginConfig, shared.locked),
          locked: shared.locked,
          routes: over.effective.routes
            .filter((_, index) => over.origins[index]?.from === "layer")
            .map((route) => ({ ...route, pluginConfig: without(route.pluginConfig, shared.locked) })),
        };
        assert.deepEqual(applyLayer(shared, lawful, "users").broken, []);
      }),
      { numRuns: 2000 },
    );
  });

  test("a layer applied twice is a layer applied once", () => {
    fc.assert(
      fc.property(document, document, (shared, layer) => {
        const once = applyLayer(shared, layer, "users");
        if (once.broken.length > 0) return;
        const twice = applyLayer(once.effective, layer, "users");
        assert.deepEqual(twice.broken, []);
        assert.deepEqual(twice.effective, once.effective);
      }),
      { numRuns: 2000 },
    );
  });

  test("neither document is changed", () => {
    fc.assert(
      fc.property(document, document, (shared, layer) => {
        const before = structuredClone([shared, layer]);
        applyLayer(shared, layer, "users");
        assert.deepEqual([shared, layer], before);
      }),
    );
  });

  test("merging is idempotent and reaches no prototype", () => {
    const value = fc.object({ maxDepth: 3, key: fc.constantFrom("a", "b", "__proto__", "constructor") });
    fc.assert(
      fc.property(value, value, (a, b) => {
        assert.deepEqual(merge(merge(a, b), b), merge(a, b));
        assert.equal(Object.getPrototypeOf(merge(a, b)), Object.prototype);
      }),
    );
  });
});
