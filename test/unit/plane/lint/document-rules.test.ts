// Lint rules that do not depend on plugins: what each finds, and what it must not find.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { found, lintOf, placesOf } from "./policies.ts";

const limited = { "rate-limit": { limits: [{ name: "all", limit: 10, window: "1m" }] } };

describe("unauthenticated-route", () => {
  const places = (routes: readonly unknown[], more = {}) =>
    placesOf("unauthenticated-route", { plugins: ["logging", "auth"], routes, ...more });

  test("is said once of a policy that nowhere asks", async () => {
    const [finding, ...others] = (
      await lintOf({ plugins: ["logging"], routes: [{ path: "/a" }, { path: "/b" }] })
    ).filter(({ code }) => code === "unauthenticated-route");
    assert.equal(others.length, 0);
    assert.equal(finding?.path, "plugins");
    assert.match(finding?.message ?? "", /no route asks who calls/);
    assert.match(finding?.advice ?? "", /run auth/);
  });

  test("says of a route that only some networks reach that this is no credential", async () => {
    const config = { "ip-filter": { allow: ["10.0.0.0/8"] } };
    const findings = await lintOf({ plugins: ["ip-filter"], pluginConfig: config, routes: [{ path: "/a" }] });
    const [open] = findings.filter(({ code }) => code === "unauthenticated-route");
    assert.match(open?.message ?? "", /no credential, from the networks that are let in alone/);
  });

  test("passes over a route that answers everything itself, and no other with respond", async () => {
    const some = { pluginConfig: { respond: { when: { methods: ["POST"] } } } };
    const routes = [
      { path: "/a" },
      { path: "/health", plugins: ["respond"] },
      { path: "/b", plugins: ["respond"], ...some },
    ];
    assert.deepEqual(await places(routes), ["routes[2].plugins"]);
  });

  test("finds the route that drops auth, and says which route around it asks", async () => {
    const findings = await lintOf({
      plugins: ["auth"],
      routes: [{ path: "/api/*" }, { path: "/api/free/*", plugins: ["logging"] }],
    });
    const open = findings.filter(({ code }) => code === "unauthenticated-route");
    assert.deepEqual(
      open.map(({ path, line }) => [path, line]),
      [["routes[1].plugins", 7]],
    );
    assert.match(open[0]?.message ?? "", /routes\[0\] \(\/api\/\*\) around it/);
  });

  test("finds the route where auth does not insist, and says why", async () => {
    const optional = { pluginConfig: { auth: { required: false } } };
    const findings = await lintOf({
      plugins: ["auth"],
      routes: [{ path: "/*", ...optional }, { path: "/b" }],
    });
    const open = findings.filter(({ code }) => code === "unauthenticated-route");
    assert.deepEqual(
      open.map(({ path }) => path),
      ["routes[0]"],
    );
    assert.match(open[0]?.message ?? "", /auth\.required is false/);
  });

  test("finds a route that an exclusion takes whole, and none of which it takes a part", async () => {
    const exclude = ["/open/*", "/api/health", { path: "/read/*", methods: ["GET"] }];
    assert.deepEqual(
      await places(
        [
          { path: "/open/*" },
          { path: "/open/deep", stripPrefix: "/open" },
          { path: "/api/*" },
          { path: "/read/*", methods: ["GET", "POST"] },
          { path: "/read/only", methods: ["GET"] },
        ],
        { pluginConfig: { auth: { exclude } } },
      ),
      ["routes[0]", "routes[4]"],
    );
  });

  test("takes a rule for the whole route for authentication, and one in dry run or for a part not", async () => {
    const ruled = (rule: object) => ({ pluginConfig: { auth: { required: false, rules: [rule] } } });
    const routes = [
      { path: "/a/*", ...ruled({ path: "/a/*", allow: {} }) },
      { path: "/b/*", ...ruled({ path: "/b/*", allow: {}, dryRun: true }) },
      { path: "/c/*", ...ruled({ path: "/c/admin/*", allow: {} }) },
      { path: "/d/*", ...ruled({ deny: {} }) },
      { path: "/e/*", ...ruled({ path: "/e/*", methods: ["POST"], allow: {} }) },
    ];
    assert.deepEqual(await places(routes), ["routes[1]", "routes[2]", "routes[4]"]);
  });
});

describe("unlimited-route", () => {
  const places = (...configs: readonly (object | undefined)[]) =>
    placesOf("unlimited-route", {
      plugins: ["auth", "rate-limit"],
      routes: [
        { path: "/limited", pluginConfig: limited },
        ...configs.map((config, index) => ({
          path: `/${index}`,
          ...(config === undefined ? { plugins: ["auth"] } : { pluginConfig: { "rate-limit": config } }),
        })),
      ],
    });
  const limit = { name: "l", limit: 5, window: "1m" };

  test("finds routes that a request can take without any limit", async () => {
    assert.deepEqual(
      await places(
        undefined,
        {},
        { limits: [{ ...limit, dryRun: true }] },
        { limits: [limit], dryRun: true },
        { limits: [{ ...limit, when: { methods: ["POST"] } }] },
        { limits: [{ ...limit, when: { identified: true } }] },
        { plans: { free: [limit], pro: [] } },
      ),
      [1, 2, 3, 4, 5, 6, 7].map((index) => (index === 1 ? "routes[1].plugins" : `routes[${index}]`)),
    );
  });

  test("is content with a limit for all, for each plan, or on requests in flight", async () => {
    assert.deepEqual(
      await places(
        { limits: [limit] },
        { plans: { free: [limit], pro: [limit] } },
        { concurrency: { limit: 10 } },
        { limits: [{ ...limit, when: { paths: ["/3"] } }] },
      ),
      [],
    );
  });
});

test("stripped-past-guard finds the way around a guard, of one upstream and service alone", async () => {
  const open = { plugins: ["logging"], stripPrefix: "/open" };
  const places = (...routes: readonly object[]) =>
    placesOf("stripped-past-guard", { plugins: ["auth"], routes: [{ path: "/admin/*" }, ...routes] });
  assert.deepEqual(await places({ path: "/open/*", ...open }), ["routes[1].stripPrefix"]);
  assert.deepEqual(await places({ path: "/open/admin/x", ...open }), ["routes[1].stripPrefix"]);
  assert.deepEqual(await places({ path: "/open/docs/*", ...open }), []);
  assert.deepEqual(await places({ path: "/open/*", stripPrefix: "/open" }), []);
  assert.deepEqual(await places({ path: "/open/*", ...open, upstream: "http://127.0.0.1:9" }), []);
  assert.deepEqual(
    await placesOf("stripped-past-guard", {
      plugins: ["auth"],
      routes: [
        { path: "/admin/*", services: ["a"] },
        { path: "/open/*", services: ["b"], ...open },
      ],
    }),
    [],
  );
});

test("a flag for callers of whom nobody learns anything is found, and one for some is no limit for all", async () => {
  const when = { flag: { when: { plan: "pro" } } };
  const routes = [{ path: "/known", plugins: ["auth", "transform"] }, { path: "/open" }];
  const policy = { plugins: ["transform"], pluginConfig: { transform: when }, routes };
  assert.deepEqual(await placesOf("unmet-flag", policy), ["pluginConfig.transform.flag.when"]);
  const limitFor = (flag: object) =>
    placesOf("unlimited-route", {
      plugins: ["auth", "rate-limit"],
      routes: [
        { path: "/a", pluginConfig: limited },
        { path: "/b", pluginConfig: { "rate-limit": { ...limited["rate-limit"], ...flag } } },
      ],
    });
  assert.deepEqual(await limitFor({}), []);
  assert.equal((await limitFor(when)).length, 1);
});

describe("shadowed-route", () => {
  const places = (...routes: readonly object[]) => placesOf("shadowed-route", { routes });

  test("finds methods that a narrower path answers 405", async () => {
    assert.deepEqual(
      await places({ path: "/api/*", methods: ["GET", "POST"] }, { path: "/api/users/*", methods: ["GET"] }),
      ["routes[1].methods"],
    );
    assert.deepEqual(await places({ path: "/*" }, { path: "/a", methods: ["DELETE"] }), [
      "routes[1].methods",
    ]);
  });

  test("is content with what narrows a catch-all, and with several routes of one path", async () => {
    assert.deepEqual(await places({ path: "/*" }, { path: "/a", methods: ["GET"] }), []);
    assert.deepEqual(
      await places(
        { path: "/api/*", methods: ["GET", "POST"] },
        { path: "/api/users/*", methods: ["GET"] },
        { path: "/api/users/*", methods: ["POST"] },
      ),
      [],
    );
    assert.deepEqual(
      await places(
        { path: "/api/*", methods: ["GET", "POST"], services: ["a"] },
        { path: "/api/users/*", methods: ["GET"], services: ["b"] },
      ),
      [],
    );
  });

  test("finds a route of which others of its path leave nothing", async () => {
    const { knownMethods } = await import("../../../../src/language/methods.ts");
    assert.deepEqual(await places({ path: "/a" }, { path: "/a", methods: knownMethods }), ["routes[0]"]);
  });
});

test("fails-open finds what guards and was let open, not what opens by itself", async () => {
  const policy = {
    plugins: ["rate-limit", "cache", "cors"],
    pluginConfig: {
      "rate-limit": { failMode: "open" },
      cache: { failMode: "open" },
      cors: { failMode: "closed" },
    },
  };
  assert.deepEqual(await placesOf("fails-open", policy), ["pluginConfig.rate-limit.failMode"]);
});

test("unused-options and unused-lock find what no route runs", async () => {
  const rules = { auth: { rules: [{ deny: {} }] } };
  assert.deepEqual(await found({ plugins: ["logging"], pluginConfig: rules, locked: ["auth"] }), [
    "unused-options pluginConfig.auth",
    "unused-lock locked[0]",
  ]);
  assert.deepEqual(await found({ routes: [{ path: "/a" }, { path: "/b", pluginConfig: rules }] }), [
    "unused-options routes[1].pluginConfig.auth",
  ]);
  const routes = [{ path: "/a", plugins: ["auth"], pluginConfig: { auth: {} } }];
  assert.deepEqual(
    await found({ plugins: ["logging"], pluginConfig: { auth: {} }, locked: ["auth"], routes }),
    [],
  );
});

describe("a service's layer", () => {
  const shared = { plugins: ["auth"], routes: [{ path: "/*" }, { path: "/free", plugins: ["logging"] }] };

  test("is told of what it wrote itself", async () => {
    const layer = { routes: [{ path: "/mine", plugins: ["logging"] }] };
    assert.deepEqual(await placesOf("unauthenticated-route", shared, layer), ["routes[0].plugins"]);
  });

  test("is told where its defaults take auth from the shared routes", async () => {
    const findings = await lintOf(shared, { plugins: ["logging"] });
    const open = findings.filter(({ code }) => code === "unauthenticated-route");
    assert.deepEqual(
      open.map(({ path, routes }) => [path, routes]),
      [["plugins", ["/*"]]],
    );
  });

  test("silences nothing of the shared policy, and the shared policy nothing of it", async () => {
    const allow = { lint: { allow: [{ code: "unauthenticated-route", reason: "public" }] } };
    const layer = { routes: [{ path: "/mine", plugins: ["logging"] }] };
    assert.equal((await placesOf("unauthenticated-route", { ...shared, ...allow }, layer)).length, 1);
    assert.equal((await placesOf("unauthenticated-route", shared, { ...layer, ...allow })).length, 0);
  });
});
