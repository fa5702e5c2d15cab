// Lint rules that plugins provide, both built-in and external ones.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { z } from "zod";
import { definePlugin } from "../../../../src/plugin-api/contract.ts";
import { pluginsByName } from "../../../../src/app/registry.ts";
import { lintOf, placesOf } from "./policies.ts";

describe("auth", () => {
  const places = (code: string, auth: object, routes: readonly object[] = [{ path: "/api/*" }]) =>
    placesOf(`auth/${code}`, { plugins: ["auth"], pluginConfig: { auth }, routes });

  test("exclude-never-matches: paths, methods, and what a route without auth takes before", async () => {
    const exclude = ["/api/health", "/health", "/api/*", { path: "/api/x", methods: ["GET"] }];
    assert.deepEqual(await places("exclude-never-matches", { exclude }), ["pluginConfig.auth.exclude[1]"]);
    const posts = [{ path: "/api/*", methods: ["POST"] }];
    assert.deepEqual(await places("exclude-never-matches", { exclude }, posts), [
      "pluginConfig.auth.exclude[1]",
      "pluginConfig.auth.exclude[3]",
    ]);
    const health = { path: "/api/health", plugins: ["logging"] };
    assert.deepEqual(
      await places("exclude-never-matches", { exclude: ["/api/health"] }, [{ path: "/api/*" }, health]),
      ["pluginConfig.auth.exclude[0]"],
    );
    const elsewhere = { ...health, services: ["other"] };
    assert.deepEqual(
      await places("exclude-never-matches", { exclude: ["/api/health"] }, [{ path: "/api/*" }, elsewhere]),
      [],
    );
    const shouting = [{ path: "/API/*", caseInsensitive: true }];
    assert.deepEqual(await places("exclude-never-matches", { exclude: ["/api/health"] }, shouting), []);
  });

  test("unnamed-origin: proofs that nothing but the Host ties to this service", async () => {
    const issuer = { issuer: "https://id.example", discovery: true, dpop: "accept" };
    const found = (more: object, dpop: object = {}) =>
      places("unnamed-origin", { jwt: { issuers: [{ ...issuer, ...more }], dpop } });
    assert.deepEqual(await found({}), ["pluginConfig.auth.jwt.issuers[0].dpop"]);
    assert.deepEqual(await found({ audience: ["api"] }), []);
    assert.deepEqual(await found({ dpop: "off" }), []);
    assert.deepEqual(await found({}, { publicUrls: ["https://api.example"] }), []);
  });

  test("boundless-guesses: passwords that anybody may try", async () => {
    const basic = { users: "SECRET_USERS" };
    const found = (auth: object) => places("boundless-guesses", auth);
    assert.deepEqual(await found({ basic, guessing: false }), ["pluginConfig.auth.guessing"]);
    assert.deepEqual(await found({ basic }), []);
    assert.deepEqual(await found({ guessing: false }), []);
  });

  test("narrow-signatures: what covers too little of a request", async () => {
    const key = { keyId: "k", algorithm: "hmac-sha256", secret: "SECRET_K", userId: "u" };
    const found = (...components: string[]) =>
      places("narrow-signatures", { signatures: { keys: [key], components } });
    const whole = [[], ["@method", "@target-uri"], ["@method", "@authority", "@path", "@query", "date"]];
    for (const each of whole) assert.deepEqual(await found(...each), []);
    for (const each of [["@method"], ["@target-uri"], ["@method", "@path", "@query"]])
      assert.deepEqual(await found(...each), ["pluginConfig.auth.signatures.components"]);
  });

  test("differing-login: a route that keeps no access tokens in the sessions of one that exchanges them", async () => {
    const login = { issuer: "https://id.example", clientId: "shop", publicUrl: "https://app.example/" };
    const exchanging = {
      jwt: { login: { keepAccessToken: true } },
      tokenExchange: {
        issuer: "https://id.example",
        clientId: "s",
        clientSecret: "SECRET_S",
        audience: ["a"],
      },
    };
    const found = (...more: object[]) =>
      places("differing-login", { jwt: { login } }, [
        { path: "/api/*", pluginConfig: { auth: exchanging } },
        ...more.map((auth, index) => ({ path: `/${index}/*`, pluginConfig: { auth } })),
      ]);
    assert.deepEqual(await found({}), ["pluginConfig.auth.jwt.login.keepAccessToken"]);
    assert.deepEqual(await found({ jwt: { login: { keepAccessToken: false } } }), [
      "routes[1].pluginConfig.auth.jwt.login.keepAccessToken",
    ]);
    const apart = [{ cookieName: "other" }, { clientId: "o" }, { publicUrl: "https://o.example/" }];
    assert.deepEqual(await found(...apart.map((each) => ({ jwt: { login: each } }))), []);
    assert.deepEqual(await found({ jwt: { login: { keepAccessToken: true } } }), []);
    assert.deepEqual(await places("differing-login", { jwt: { login } }), []);
  });

  test("shared-login-paths: two logins of one origin that would answer at the same path", async () => {
    const login = { issuer: "https://id.example", clientId: "shop", publicUrl: "https://app.example/" };
    const found = async (other: object) => {
      const routes = [
        { path: "/*" },
        { path: "/staff/*", pluginConfig: { auth: { jwt: { login: other } } } },
      ];
      return (await places("shared-login-paths", { jwt: { login } }, routes)).map((place) =>
        place.replace(/^(routes\[1\]\.)?pluginConfig\.auth\.jwt\.login\./, "$1"),
      );
    };
    const usual = ["callbackPath", "loginPath", "logoutPath"];
    const both = [...usual, ...usual.map((name) => `routes[1].${name}`)].toSorted();
    for (const other of [{ issuer: "https://staff.example" }, { clientId: "o" }, { cookieName: "o" }])
      assert.deepEqual((await found(other)).toSorted(), both, JSON.stringify(other));
    const crossed = { callbackPath: "/staff/in", loginPath: "/oauth2/logout", logoutPath: "/staff/out" };
    assert.deepEqual((await found({ clientId: "o", ...crossed })).toSorted(), [
      "logoutPath",
      "routes[1].loginPath",
    ]);
    assert.deepEqual(await found({ clientId: "o", ...crossed, loginPath: "/staff/login" }), []);
    assert.deepEqual(await found({ clientId: "o", publicUrl: "https://o.example/" }), []);
    assert.deepEqual(await found({ scopes: ["openid"] }), []);
  });

  test("a default that matches on one route is not said never to match", async () => {
    const routes = [
      { path: "/a/*", pluginConfig: { auth: { realm: "a" } } },
      { path: "/b/*", pluginConfig: { auth: { exclude: ["/a/x"] } } },
      { path: "/c/*" },
    ];
    assert.deepEqual(await places("exclude-never-matches", { exclude: ["/a/x", "/c/x", "/d"] }, routes), [
      "pluginConfig.auth.exclude[2]",
      "routes[1].pluginConfig.auth.exclude[0]",
    ]);
  });

  test("rule-never-matches: the client's path and the service's count, and what could be read as them", async () => {
    const rule = (path: string, methods?: readonly string[]) => ({
      path,
      allow: {},
      ...(methods && { methods }),
    });
    const routes = [{ path: "/api/*", stripPrefix: "/api", methods: ["GET"] }];
    const rules = [rule("/api/x"), rule("/x"), rule("/*"), rule("/x", ["DELETE"]), rule("/x", ["HEAD"])];
    assert.deepEqual(await places("rule-never-matches", { rules }, routes), ["pluginConfig.auth.rules[3]"]);
    assert.deepEqual(await places("rule-never-matches", { rules: [rule("/other/*")] }), [
      "pluginConfig.auth.rules[0]",
    ]);
    const based = [{ path: "/a", upstream: "http://127.0.0.1:1/base" }];
    assert.deepEqual(
      await places("rule-never-matches", { rules: [rule("/base/a"), rule("/base/b")] }, based),
      ["pluginConfig.auth.rules[1]"],
    );
  });

  test("rule-excluded: what an exclusion lets pass before", async () => {
    const rules = [
      { path: "/api/admin/*", allow: {} },
      { path: "/api/read", methods: ["GET"], allow: {} },
      { path: "/api/read", allow: {} },
    ];
    const exclude = ["/api/admin/*", { path: "/api/read", methods: ["GET", "POST"] }];
    assert.deepEqual(await places("rule-excluded", { rules, exclude }), [
      "pluginConfig.auth.rules[0]",
      "pluginConfig.auth.rules[1]",
    ]);
  });
});

describe("cache", () => {
  const places = (cache: object, auth: object = {}, plugins = ["auth", "cache"]) =>
    placesOf("cache/shared-for-identities", { plugins, pluginConfig: { cache, auth } });

  test("shared-for-identities: where callers are known, and nothing tells their answers apart", async () => {
    assert.deepEqual(await places({ scope: "shared" }), ["pluginConfig.cache.scope"]);
    assert.deepEqual(await places({ scope: "shared" }, { required: false }), ["pluginConfig.cache.scope"]);
    assert.deepEqual(await places({ scope: "auto" }), []);
    assert.deepEqual(await places({ scope: "shared", vary: ["claim:sub"] }), []);
    assert.deepEqual(await places({ scope: "shared" }, { exclude: ["/*"] }), []);
    assert.deepEqual(await places({ scope: "shared" }, {}, ["cache"]), []);
  });
});

test("cors: origins that are more than they look", async () => {
  const codes = async (cors: object): Promise<string[]> => {
    const findings = await lintOf({ plugins: ["cors"], pluginConfig: { cors } });
    return findings.flatMap(({ code }) => (code.startsWith("cors/") ? [code.slice(5)] : []));
  };
  assert.deepEqual(
    await codes({ origins: ["https://a.example", "http://localhost:*", "https://*.example"] }),
    [],
  );
  assert.deepEqual(await codes({ origins: ["*"] }), []);
  assert.deepEqual(await codes({ origins: ["*", "https://a.example"] }), ["any-origin"]);
  assert.deepEqual(await codes({ origins: ["*"], privateNetwork: true }), ["any-origin"]);
  assert.deepEqual(await codes({ origins: ["null"] }), ["null-origin"]);
  assert.deepEqual(await codes({ origins: ["http://a.example"] }), ["http-origin"]);
  assert.deepEqual(await codes({ origins: ["https://*.github.io"] }), ["shared-domain"]);
  const credentials = { credentials: true };
  assert.deepEqual(await codes({ origins: ["https://*.example.com"], ...credentials }), ["subdomains"]);
  assert.deepEqual(await codes({ origins: ["http://localhost:*"], ...credentials }), ["loopback-origin"]);
  assert.deepEqual(await codes({ origins: ["https://a.example"], ...credentials }), []);
});

describe("rate-limit", () => {
  const limit = (name: string, count: number, window: string, more = {}) => ({
    name,
    limit: count,
    window,
    ...more,
  });
  const places = (code: string, options: object, more: object = {}) =>
    placesOf(`rate-limit/${code}`, {
      plugins: ["auth", "rate-limit"],
      routes: [{ path: "/api/*" }],
      pluginConfig: { "rate-limit": options },
      ...more,
    });

  test("never-applies: paths, methods, callers and plans that cannot come", async () => {
    const when = (conditions: object) => limit("l", 1, "1m", { when: conditions });
    const one = (conditions: object, more?: object) =>
      places("never-applies", { limits: [when(conditions)] }, more);
    assert.equal((await one({ paths: ["/other"] })).length, 1);
    assert.equal((await one({ paths: ["/api/x"] })).length, 0);
    assert.equal(
      (await one({ methods: ["DELETE"] }, { routes: [{ path: "/*", methods: ["GET"] }] })).length,
      1,
    );
    assert.equal((await one({ identified: false })).length, 1);
    assert.equal((await one({ identified: true })).length, 0);
    assert.equal((await one({ identified: true }, { plugins: ["rate-limit"] })).length, 1);
    const plans = { free: [], pro: [limit("p", 1, "1m")] };
    assert.deepEqual(await places("never-applies", { plans }), []);
    assert.deepEqual(await places("never-applies", { plans }, { plugins: ["rate-limit"] }), [
      "pluginConfig.rate-limit.plans.pro[0]",
    ]);
    assert.equal((await places("never-applies", { plans, limits: [when({ plans: ["gold"] })] })).length, 1);
  });

  const binds = async (...limits: readonly object[]): Promise<number[]> => {
    const found = await places("never-binds", { limits });
    return found.map((path) => Number(/limits\[(\d+)\]/.exec(path)?.[1]));
  };

  test("never-binds: a limit over which another always comes first", async () => {
    assert.deepEqual(await binds(limit("a", 100, "1m"), limit("b", 10_000, "1h")), [1]);
    assert.deepEqual(await binds(limit("a", 100, "1m"), limit("b", 5_000, "1h")), []);
    assert.deepEqual(
      await binds(limit("a", 1, "1s"), limit("b", 100_000, "1d", { algorithm: "fixed" })),
      [1],
    );
    assert.deepEqual(
      await binds(limit("a", 10, "1s"), limit("b", 100_000, "1d", { algorithm: "fixed" })),
      [],
    );
    const fixed = { algorithm: "fixed" };
    assert.deepEqual(await binds(limit("a", 9, "1d", fixed), limit("b", 10, "1d", fixed)), [1]);
    assert.deepEqual(await binds(limit("a", 9, "1m"), limit("b", 9, "1m")), [1]);
    assert.deepEqual(await binds(limit("a", 1, "1s"), limit("b", 3_000_000, "1M", fixed)), [1]);
    assert.deepEqual(await binds(limit("a", 1, "1s"), limit("b", 2_670_000, "1M", fixed)), []);
  });

  test("never-binds: is silent where they count other requests or callers", async () => {
    const wide = limit("b", 10_000, "1h");
    assert.deepEqual(await binds(limit("a", 100, "1m", { by: "ip" }), wide), []);
    assert.deepEqual(await binds(limit("a", 100, "1m", { dryRun: true }), wide), []);
    assert.deepEqual(await binds(limit("a", 100, "1m", { when: { methods: ["POST"] } }), wide), []);
    assert.deepEqual(await binds(limit("a", 100, "1m", { sharedBy: "fleet" }), wide), []);
    assert.deepEqual(await binds(limit("a", 100, "1m"), limit("b", 10_000, "1h", { cost: 200 })), [0]);
    const plans = { free: [limit("a", 1_000, "1m")] };
    assert.deepEqual(await places("never-binds", { limits: [limit("a", 100, "1m"), wide], plans }), []);
  });

  test("replaced-by-plans, opens-without-store", async () => {
    const limits = [limit("a", 1, "1m"), limit("b", 1, "1m")];
    const plans = { free: [limit("a", 2, "1m")], pro: [limit("a", 3, "1m"), limit("b", 9, "1m")] };
    assert.deepEqual(await places("replaced-by-plans", { limits, plans }), [
      "pluginConfig.rate-limit.limits[0]",
    ]);
    assert.deepEqual(await places("opens-without-store", { limits, onStoreError: "open" }), [
      "pluginConfig.rate-limit.onStoreError",
    ]);
    assert.deepEqual(await places("opens-without-store", { onStoreError: "open" }), []);
  });
});

test("a plugin of somebody else brings rules, and says what it does for routes", async () => {
  const gate = definePlugin({
    name: "gate",
    version: "1.0.0",
    apiVersion: 1,
    priority: 11,
    security: true,
    failMode: "closed",
    options: z.strictObject({ word: z.string().default("please").describe("What callers say.") }),
    lint: () =>
      Promise.resolve({
        provides: { authentication: ({ word }) => word !== "" || "gate.word is empty" },
        rules: {
          "short-word": {
            about: "A word that is soon guessed",
            *check({ word }, { path }) {
              if (word.length > 3) return;
              yield { path: ["word"], message: `${path} has a short word`, advice: "take a longer one" };
            },
          },
        },
      }),
    setup: () => ({}),
  });
  const plugins = { ...pluginsByName, gate };
  const routes = [
    { path: "/a", pluginConfig: { gate: { word: "" } } },
    { path: "/b", pluginConfig: { gate: { word: "abc" } } },
    { path: "/c" },
  ];
  const all = await lintOf({ plugins: ["gate"], routes }, undefined, plugins);
  const findings = all.filter(({ code }) => code !== "unlimited-route");
  assert.deepEqual(
    findings.map(({ code, path }) => `${code} ${path}`),
    [
      "unauthenticated-route routes[0]",
      "gate/short-word routes[0].pluginConfig.gate.word",
      "gate/short-word routes[1].pluginConfig.gate.word",
    ],
  );
  assert.match(findings[0]?.message ?? "", /gate\.word is empty/);
});
