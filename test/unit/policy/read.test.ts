// Raw documents become the effective policy: options are merged and checked for each plugin, and each problem names the
// document and field in which it was written.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { z } from "zod";
import { policyJsonSchema } from "../../../src/policy/document/json-schema.ts";
import { effective, problemsOf, samplePlugins } from "./sample.ts";

async function said(shared: object, layer?: object): Promise<string[]> {
  const problems = await problemsOf(() => effective(shared, layer));
  return problems.map(({ document, path, message }) => `${document} ${path}: ${message}`);
}

describe("the effective policy", () => {
  test("has complete routes: plugins and merged options", async () => {
    const policy = await effective({
      plugins: ["logging", "cache"],
      pluginConfig: { cache: { ttlSeconds: 5 }, auth: { jwt: { issuer: "a" } } },
      routes: [
        { path: "/a/*" },
        {
          path: "/b",
          plugins: ["auth", "cache"],
          pluginConfig: { auth: { jwt: { audience: ["x"] } }, logging: { level: "debug" } },
          timeout: 10,
          stripPrefix: "/b",
          upstream: "http://elsewhere:80",
        },
      ],
    });
    const common = {
      methods: undefined,
      stripPrefix: undefined,
      timeoutMs: undefined,
      maxAgeMs: undefined,
      tracing: undefined,
      upstreamProtocol: undefined,
      bufferRequestBytes: 65_536,
      restorePrefix: undefined,
      upstream: undefined,
    };
    const byDefault = { plugins: ["logging", "cache"], pluginConfig: { cache: { ttlSeconds: 5 } } };
    assert.deepEqual(policy.routes, [
      { ...common, path: "/a/*", ...byDefault },
      {
        ...common,
        path: "/b",
        plugins: ["auth", "cache"],
        pluginConfig: { auth: { jwt: { issuer: "a", audience: ["x"] } }, cache: { ttlSeconds: 5 } },
        timeoutMs: 10,
        maxAgeMs: undefined,
        tracing: undefined,
        upstreamProtocol: undefined,
        bufferRequestBytes: 65_536,
        restorePrefix: undefined,
        stripPrefix: "/b",
        upstream: "http://elsewhere:80",
      },
    ]);
    assert.deepEqual(policy.unmatched, { ...common, path: "/*", ...byDefault });
    assert.equal(policy.signed, "no");
  });

  test("is known by what it says, not by how it is written", async () => {
    const a = await effective('{"apiVersion":"outrigger/v1","plugins":["auth"],"locked":[]}');
    const b = await effective("locked: []\nplugins: [auth]\napiVersion: outrigger/v1\n");
    const c = await effective({ plugins: ["auth", "cache"] });
    assert.match(a.digest, /^[0-9a-f]{64}$/);
    assert.equal(a.digest, b.digest);
    assert.notEqual(a.digest, c.digest);
  });
});

describe("plugins' options", () => {
  test("are checked after merging; a problem points to whoever wrote it", async () => {
    assert.deepEqual(
      await said(
        {
          plugins: ["cache", "auth"],
          pluginConfig: { cache: { ttlSeconds: "1m" }, auth: { jwt: { issuer: 1 } }, transform: { add: {} } },
          routes: [
            { path: "/a" },
            { path: "/b", pluginConfig: { cache: { ttlSeconds: 5 } } },
            { path: "/c", pluginConfig: { cache: { ttlSeconds: -1 }, auth: { jwt: { audience: "x" } } } },
          ],
        },
        { pluginConfig: { logging: { levl: "x" } } },
      ),
      [
        "policy pluginConfig.cache.ttlSeconds: expected number, received string",
        "policy pluginConfig.auth.jwt.issuer: expected string, received number",
        "policy routes[2].pluginConfig.cache.ttlSeconds: must be at least 0",
        "policy routes[2].pluginConfig.auth.jwt.audience: expected array, received string",
        'policy pluginConfig.transform.add: unknown field "add"',
        'policy:users pluginConfig.logging.levl: unknown field "levl"',
      ],
    );
  });

  test("have their place in the text", async () => {
    const yaml =
      "apiVersion: outrigger/v1\nroutes:\n- path: /\n  pluginConfig:\n    cache:\n      ttlSeconds: no\n";
    assert.deepEqual(await problemsOf(() => effective(yaml)), [
      {
        path: "routes[0].pluginConfig.cache.ttlSeconds",
        message: "expected number, received string",
        document: "policy",
        line: 6,
        column: 7,
      },
    ]);
  });

  test("show the branch of a union that came furthest", async () => {
    assert.deepEqual(await said({ pluginConfig: { cache: { scope: { by: 1 } } } }), [
      "policy pluginConfig.cache.scope.by: expected string, received number",
    ]);
  });

  test("may open a plugin on failure, but not one that decides who gets in", async () => {
    await effective({ pluginConfig: { cache: { failMode: "open" }, auth: { failMode: "closed" } } });
    assert.deepEqual(
      await said({
        pluginConfig: { cache: { failMode: "ajar" } },
        routes: [{ path: "/", pluginConfig: { auth: { failMode: "open" } } }],
      }),
      [
        "policy routes[0].pluginConfig.auth.failMode: a plugin that decides who gets in always fails closed",
        'policy pluginConfig.cache.failMode: expected one of "open"|"closed"',
      ],
    );
  });

  test("gives a plugin to some callers, but not one that decides who gets in", async () => {
    await effective({
      pluginConfig: { cache: { flag: { percent: 10, when: { plan: ["pro", "team"] } } } },
      routes: [{ path: "/", pluginConfig: { transform: { flag: { when: { roles: "beta" } } } } }],
    });
    const everyCaller =
      "a plugin that decides who gets in runs for every caller: try another with policy apply --traffic";
    assert.deepEqual(
      await said({
        pluginConfig: { auth: { flag: { percent: 90 } }, transform: { flag: {} } },
        routes: [
          { path: "/", pluginConfig: { auth: { flag: { when: { plan: "pro" } } } } },
          { path: "/a", pluginConfig: { cache: { flag: { percent: 101, when: { plans: "pro" } } } } },
        ],
      }),
      [
        "policy pluginConfig.transform.flag: says nothing: name percent or when",
        `policy routes[0].pluginConfig.auth.flag: ${everyCaller}`,
        "policy routes[1].pluginConfig.cache.flag.percent: must be at most 100",
        'policy routes[1].pluginConfig.cache.flag.when.plans: unknown field "plans"',
        "policy routes[1].pluginConfig.cache.flag.when: says nothing: name plan, roles or scopes",
      ],
    );
  });

  test("of other services' routes count too: all sidecars take a document, or none", async () => {
    const routes = [{ path: "/", services: ["other"], pluginConfig: { cache: { ttlSeconds: "x" } } }];
    assert.deepEqual(await said({ routes }), [
      "policy routes[0].pluginConfig.cache.ttlSeconds: expected number, received string",
    ]);
  });
});

describe("a layer", () => {
  test("that is valid alone but breaks a lock is refused, with its own path and place", async () => {
    const problems = await problemsOf(() =>
      effective(
        { plugins: ["auth"], locked: ["auth"] },
        { plugins: [], routes: [{ path: "/x", plugins: ["cache"] }] },
      ),
    );
    assert.deepEqual(problems, [
      {
        document: "policy:users",
        path: "plugins",
        message: 'drops "auth", which the shared policy locks',
        line: 1,
        column: 30,
      },
      {
        document: "policy:users",
        path: "routes[0].plugins",
        message: 'must run "auth", which the shared policy locks',
        line: 1,
        column: 66,
      },
    ]);
  });

  test("is parsed as strictly as the shared policy, and problems of both come at once", async () => {
    assert.deepEqual(await said({ plugin: [] }, { route: [] }), [
      'policy plugin: unknown field "plugin", did you mean "plugins"?',
      'policy:users route: unknown field "route", did you mean "routes"?',
    ]);
  });

  test("that a lock restores is in force with the shared options", async () => {
    const { routes } = await effective(
      {
        plugins: ["auth"],
        locked: ["auth"],
        routes: [{ path: "/a/*", pluginConfig: { auth: { exclude: ["/a/x"] } } }],
      },
      { routes: [{ path: "/a/b", timeout: 5 }] },
    );
    assert.deepEqual(routes[1]?.pluginConfig, { auth: { exclude: ["/a/x"] } });
  });
});

test("ten thousand routes are read without stopping the event loop for long", async () => {
  const routes = Array.from({ length: 10_000 }, (_, index) => ({
    path: `/r${index}/*`,
    pluginConfig: { cache: { ttlSeconds: index } },
  }));
  let turns = 0;
  const timer = setInterval(() => (turns += 1), 1);
  const policy = await effective({ plugins: ["cache"], routes });
  clearInterval(timer);
  assert.equal(policy.routes.length, 10_000);
  assert.ok(turns >= 5, `${turns} turns`);
  assert.match((await said({ routes: [...routes, { path: "/x" }] })).join(), /policy routes: .*10000/);
});

describe("the JSON Schema", () => {
  const schema = policyJsonSchema(samplePlugins);

  test("describes every field and knows each plugin's options", () => {
    const undescribed: string[] = [];
    const walk = (node: unknown, path: string): void => {
      if (typeof node !== "object" || node === null) return;
      for (const [name, member] of Object.entries((node as { properties?: object }).properties ?? {})) {
        const field = `${path}.${name}`;
        if (!("description" in (member as object)) && !/pluginConfig\.\w+$/.test(field))
          undescribed.push(field);
        walk(member, field);
      }
      walk((node as { items?: unknown }).items, `${path}[]`);
    };
    walk(schema, "");
    assert.deepEqual(
      undescribed.filter((field) => !field.endsWith(".by")),
      [],
    );
    const { properties } = schema as {
      properties: { pluginConfig: { properties: { auth: { properties: object } } } };
    };
    assert.deepEqual(Object.keys(properties.pluginConfig.properties.auth.properties), [
      "required",
      "exclude",
      "jwt",
      "failMode",
    ]);
    assert.ok(
      !z
        .fromJSONSchema(schema)
        .safeParse({ apiVersion: "outrigger/v1", pluginConfig: { auth: { flag: { percent: 1 } } } }).success,
    );
    assert.ok(
      z.fromJSONSchema(schema).safeParse({
        apiVersion: "outrigger/v1",
        pluginConfig: { cache: { flag: { percent: 1, when: { plan: "pro" } } } },
      }).success,
    );
  });

  test("takes extensions, and their names wherever a plugin's may stand", () => {
    const isValid = z.fromJSONSchema(schema);
    const document = (more: object): boolean =>
      isValid.safeParse({ apiVersion: "outrigger/v1", ...more }).success;
    const geo = { source: "file:/geo.wasm", runtime: "wasm" };
    const route = {
      path: "/*",
      plugins: ["geo", "auth"],
      pluginConfig: { geo: { any: 1, failMode: "open" } },
    };
    assert.ok(document({ extensions: { geo }, plugins: ["geo"], locked: ["geo"], routes: [route] }));
    assert.ok(!document({ extensions: { geo: { ...geo, sorce: 1 } } }));
    assert.ok(!document({ extensions: { geo: { runtime: "wasm" } } }));
    assert.ok(!document({ plugins: ["Geo_1"] }));
    assert.ok(!document({ pluginConfig: { auth: { requird: true } } }));
  });

  test("asks for nothing that has a default, and uses standard keywords only", () => {
    assert.deepEqual(schema["required"], ["apiVersion"]);
    assert.doesNotMatch(JSON.stringify(schema), /starts_with|"format"/);
  });
});
