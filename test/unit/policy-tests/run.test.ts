// The tests that a policy contains, run with the built-in plugins.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { z } from "zod";
import { registry } from "../../../src/app/registry.ts";
import { benchOptions } from "../../../src/app/bench-options.ts";
import { loadConfig } from "../../../src/app/environment.ts";
import { definePlugin, type PluginDefinition, type Services } from "../../../src/plugin-api/contract.ts";
import { ReadingCutShort } from "../../../src/policy/document/problems.ts";
import { problemsIn, runTests } from "../../../src/policy-tests/run.ts";
import { standInSecrets } from "../../../src/policy-tests/stand-in-secrets.ts";
import { createPolicyReader, type EffectivePolicy } from "../../../src/policy/read.ts";
import { systemClock } from "../../../src/runtime/clock.ts";

type Members = Readonly<Record<string, unknown>>;

async function read(
  policy: Members,
  {
    layer,
    service = "users",
    plugins = registry,
  }: { layer?: Members; service?: string; plugins?: readonly PluginDefinition[] } = {},
): Promise<EffectivePolicy> {
  const byName = Object.fromEntries(plugins.map((plugin) => [plugin.name, plugin]));
  const reader = await createPolicyReader({ plugins: byName, service, upstreamAllow: [], keys: undefined });
  const bytes = (members: Members) => Buffer.from(JSON.stringify({ apiVersion: "outrigger/v1", ...members }));
  return reader({ shared: bytes(policy), layer: layer && bytes(layer), format: "json" });
}

const options = (plugins = registry) =>
  benchOptions(loadConfig({}), plugins, systemClock, standInSecrets({}, plugins));

/** What is not passed, by name. */
async function failing(...given: Parameters<typeof read>): Promise<Record<string, readonly string[]>> {
  const results = await runTests(await read(...given), options(given[1]?.plugins));
  return Object.fromEntries(
    results.filter(({ failures }) => failures.length > 0).map(({ name, failures }) => [name, failures]),
  );
}

// SHA-256 of "secret".
const sha256 = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
const policy = {
  plugins: ["logging", "cors", "auth", "rate-limit", "cache", "transform"],
  pluginConfig: {
    auth: {
      exclude: ["/api/open/*"],
      apiKeys: { keys: [{ sha256, id: "k1", userId: "u1", plan: "pro", scopes: ["read"] }] },
      rules: [
        { path: "/api/*", methods: ["DELETE"], allow: { scopes: { all: ["write"] } } },
        { path: "/internal/*", peer: ["spiffe://test.example/billing"] },
      ],
    },
    "rate-limit": { limits: [{ name: "one", by: "subject", limit: 1, window: "1h" }] },
    cache: { ttlSeconds: 60 },
    cors: { origins: ["https://app.example"] },
    transform: { addHeaders: { "X-Plan": "$plan" } },
  },
  routes: [{ path: "/api/*", stripPrefix: "/api" }, { path: "/internal/*" }, { path: "/raw", plugins: [] }],
};
const reader = { userId: "u7", plan: "free", scopes: ["read"] };

describe("what becomes of a request", () => {
  test("is what a sidecar would make of it, from its head to the answer", async () => {
    const found = await failing({
      ...policy,
      tests: [
        {
          name: "anonymous",
          request: { path: "/api/a" },
          expect: { route: "/api/*", status: 401, plugin: "auth" },
        },
        {
          name: "bad key",
          request: { path: "/api/a", headers: { "x-api-key": "wrong" } },
          expect: {
            status: 401,
            plugin: "auth",
            headers: { "proxy-status": "outrigger; error=http_request_denied" },
          },
        },
        {
          name: "another service by its certificate",
          request: { path: "/internal/a", identity: reader, peer: "spiffe://test.example/billing" },
          expect: { route: "/internal/*", status: 200, plugin: null },
        },
        {
          name: "not that one",
          request: { path: "/internal/a", identity: reader, peer: "spiffe://test.example/orders" },
          expect: { route: "/internal/*", status: 403, plugin: "auth" },
        },
        {
          name: "key of the policy",
          request: { path: "/api/a", headers: { "x-api-key": "secret" } },
          expect: {
            status: 200,
            plugin: null,
            upstreamHeaders: { "x-user-id": "u1", "x-plan": "pro", "x-api-key": null },
          },
        },
        {
          name: "identity",
          request: {
            path: "/api/a?b=c",
            identity: reader,
            headers: { "X-User-Id": "admin", Cookie: ["a=1", "b=2"] },
          },
          upstream: { status: 201, headers: { Server: "nginx", ETag: '"1"' }, body: "made" },
          expect: {
            status: 201,
            headers: { server: null, etag: '"1"', "content-length": "4" },
            upstreamHeaders: {
              "X-User-Id": "u7",
              "x-user-scopes": "read",
              cookie: "a=1; b=2",
              "x-forwarded-prefix": "/api",
            },
          },
        },
        {
          name: "rules hold for it",
          request: { method: "DELETE", path: "/api/a", identity: reader },
          expect: { status: 403, plugin: "auth", upstreamHeaders: { host: null } },
        },
        {
          name: "exclusions hold for it",
          request: { path: "/api/open/a", identity: reader },
          expect: { status: 200, upstreamHeaders: { "x-user-id": null } },
        },
        {
          name: "preflight",
          request: {
            method: "OPTIONS",
            path: "/api/a",
            headers: { Origin: "https://app.example", "Access-Control-Request-Method": "PUT" },
          },
          expect: {
            status: 204,
            plugin: "cors",
            headers: { "access-control-allow-origin": "https://app.example" },
          },
        },
        { name: "no route", request: { path: "/b" }, expect: { route: null, status: 404, plugin: null } },
        { name: "no path", request: { path: "/../b" }, expect: { route: null, status: 400 } },
        { name: "encoded slash", request: { path: "/api/a%2Fb", identity: reader }, expect: { status: 400 } },
        {
          name: "HEAD",
          request: { method: "HEAD", path: "/raw" },
          upstream: { body: "x" },
          expect: { status: 200, headers: { "content-length": "1" } },
        },
        {
          name: "503",
          request: { path: "/raw" },
          upstream: { status: 503 },
          expect: { status: 503, plugin: null },
        },
        { name: "no body", request: { path: "/raw" }, upstream: { status: 304 }, expect: { status: 304 } },
      ],
    });
    assert.deepEqual(found, {});
  });

  test("is held against every part of what is expected, and what a field holds is not told", async () => {
    const found = await failing({
      ...policy,
      tests: [
        {
          name: "all wrong",
          request: { path: "/api/a", headers: { "x-api-key": "wrong" } },
          expect: {
            route: "/a",
            status: 200,
            plugin: null,
            headers: { "x-b": "c", "x-request-id": null },
            upstreamHeaders: { host: "a" },
          },
        },
        {
          name: "other fields",
          request: { path: "/raw", headers: { Host: "a.test" } },
          expect: { headers: { "content-length": "9" }, upstreamHeaders: { host: null } },
        },
      ],
    });
    assert.deepEqual(found, {
      "all wrong": [
        "the route is /api/*, not /a",
        "the status is 401, not 200",
        "it is answered by auth, not by no plugin",
        "the answer has no x-b",
        "the answer has x-request-id",
        "the service is not asked",
        "refused because: api key: not known",
      ],
      "other fields": ["the answer has another content-length", "the service's request has host"],
    });
  });

  test("does not depend on the tests before: no count, no cache", async () => {
    const again = (name: string) => ({
      name,
      request: { path: "/api/a", identity: reader },
      upstream: { headers: { "cache-control": "max-age=60" }, body: "x" },
      expect: { status: 200, headers: { "x-cache": "MISS" } },
    });
    assert.deepEqual(await failing({ ...policy, tests: [again("1"), again("2"), again("3")] }), {});
  });
});

describe("whose a test is", () => {
  const routes = [
    { path: "/a/*", services: ["users"], plugins: [] },
    { path: "/a/b", services: ["orders"], plugins: [] },
    { path: "/c", methods: ["GET"], services: ["users"], plugins: [] },
    { path: "/c", methods: ["PUT"], services: ["orders"], plugins: [] },
  ];
  const of = (request: Members, more: Members = {}, expect: Members = { status: 200 }) => [
    { name: "t", request, expect, ...more },
  ];
  for (const [what, tests, services] of [
    ["the services' whose route takes it", of({ path: "/a/x" }), ["users"]],
    ["the closest route counts, whichever services have it", of({ path: "/a/b?c" }), ["orders"]],
    ["the method counts", of({ path: "/c", method: "PUT" }), ["orders"]],
    ["a HEAD is a GET", of({ path: "/c", method: "HEAD" }), ["users"]],
    ["a route that it names counts more", of({ path: "/a/b" }, {}, { route: "/a/*" }), ["users"]],
    ["everybody's where no route takes it", of({ path: "/d" }), ["orders", "users"]],
    ["those that it names", of({ path: "/a/x" }, { services: ["orders"] }), ["orders"]],
  ] as const) {
    test(what, async () => {
      const found = await Promise.all(
        ["orders", "users"].map(async (service) => {
          const { tests: carried } = await read({ routes, tests }, { service });
          return carried.length > 0 ? service : [];
        }),
      );
      assert.deepEqual(found.flat(), services);
    });
  }

  test("the shared policy's hold over a layer, whose own come after them", async () => {
    const shared = { ...policy, tests: of({ path: "/raw" }) };
    const layer = {
      routes: [{ path: "/raw", plugins: ["auth"] }],
      tests: [{ name: "own", request: { path: "/raw" }, expect: { status: 401 } }],
    };
    const effective = await read(shared, { layer });
    const problems = problemsIn(await runTests(effective, options()));
    assert.deepEqual(
      problems.map(({ path, message, document }) => ({ path, message, document })),
      [
        {
          path: "tests[0]",
          message: 'test "t": the status is 401, not 200; refused because: no credential',
          document: "policy",
        },
      ],
    );
  });
});

describe("what plugins get while tests run", () => {
  const seen: { services: Services; phase: string }[] = [];
  const spy = definePlugin({
    name: "spy",
    version: "1.0.0",
    apiVersion: 1,
    priority: 40,
    security: false,
    failMode: "closed",
    options: z.strictObject({}),
    init: (services) => void seen.push({ services, phase: "init" }),
    setup: ({ services }) => {
      seen.push({ services, phase: "setup" });
      return { close: () => void seen.push({ services, phase: "close" }) };
    },
    dispose: () => {},
  }) as PluginDefinition;

  test("is a set-up and a state for each test, with its identity and nothing shared, closed in the end", async () => {
    const request = { path: "/", identity: { userId: "u" } };
    const tests = ["1", "2"].map((name) => ({ name, request, expect: { status: 200 } }));
    await runTests(await read({ plugins: ["spy"], tests }, { plugins: [spy] }), options([spy]));
    const phases = seen.map(
      ({ phase, services }) => `${phase} ${services.testRun?.identity?.userId ?? "nobody"}`,
    );
    assert.deepEqual(phases.filter((phase) => phase === "init u").length, 2);
    assert.deepEqual(phases.filter((phase) => phase === "setup u").length, 2);
    assert.deepEqual(phases.filter((phase) => phase === "close u").length, 2);
    const setups = phases.filter((phase) => phase.startsWith("setup")).length;
    assert.equal(phases.filter((phase) => phase.startsWith("close")).length, setups);
    for (const { services } of seen) {
      assert.deepEqual(
        [services.store, services.keptLines, services.workers],
        [undefined, undefined, undefined],
      );
      await assert.rejects(
        services.http.request({ url: "http://127.0.0.1:1/", timeoutMs: 1, maxBodyBytes: 1 }),
        /ask nobody/,
      );
    }
  });

  test("a second for all of them: then the policy is refused, until it is read again", async () => {
    const slow: PluginDefinition = definePlugin({
      ...spy,
      name: "slow",
      setup: () => ({ timeLimitMs: { onRequest: 60_000 }, onRequest: () => new Promise<void>(() => {}) }),
    });
    const tests = [{ name: "waits", request: { path: "/" }, expect: { status: 200 } }];
    const effective = await read({ plugins: ["slow"], tests }, { plugins: [slow] });
    const startedMono = performance.now();
    await assert.rejects(
      runTests(effective, options([slow])),
      (error) =>
        error instanceof ReadingCutShort &&
        error.problems[0]?.message === 'its tests take longer than 1 s: test "waits" was at work',
    );
    assert.ok(performance.now() - startedMono < 30_000);
  });

  test("a machine that has no CPU for it makes no policy slow", async () => {
    const nobody = new Int32Array(new SharedArrayBuffer(4));
    const starved: PluginDefinition = definePlugin({
      ...spy,
      name: "starved",
      // As when this thread waits for its turn: neither idle nor at work.
      setup: () => ({ onRequest: () => void Atomics.wait(nobody, 0, 0, 300) }),
    });
    const tests = ["1", "2", "3", "4"].map((name) => ({
      name,
      request: { path: "/" },
      expect: { status: 200 },
    }));
    const effective = await read({ plugins: ["starved"], tests }, { plugins: [starved] });
    const results = await runTests(effective, options([starved]));
    assert.deepEqual(
      results.flatMap(({ failures }) => failures),
      [],
    );
  });

  test("a plugin that cannot be set up is no test's failure", async () => {
    const broken: PluginDefinition = definePlugin({
      ...spy,
      name: "broken",
      setup: () => {
        throw new Error("no key");
      },
    });
    const tests = [{ name: "t", request: { path: "/" }, expect: { status: 200 } }];
    const effective = await read({ plugins: ["broken"], tests }, { plugins: [broken] });
    await assert.rejects(runTests(effective, options([broken])), /plugin "broken" on route .*: no key/);
  });
});
