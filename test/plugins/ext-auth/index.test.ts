// The ext-auth plugin on single exchanges, asking a real endpoint.
import assert from "node:assert/strict";
import { test } from "node:test";
import { extAuth } from "../../../plugins/ext-auth/index.ts";
import { lint } from "../../../plugins/ext-auth/lint.ts";
import type { LintRoute, Verdict } from "../../../src/plugin-api/contract.ts";
import { TestClock } from "../../../src/testing/clock.ts";
import { setUpPlugin } from "../../../src/testing/hooks.ts";
import { type ExchangeFacts, exchangeOf } from "../../support/exchange.ts";
import { result, startDecider } from "./endpoint.ts";

const codeOf = (verdict: Verdict): string => (verdict?.action === "reject" ? verdict.error.code : "in");

test("tells over http what the policy names and nothing else", async () => {
  await using decider = await startDecider((_asked, response) => response.end());
  const options = {
    url: decider.url,
    token: "SECRET_PDP",
    input: ["method", "path", "query", "host", "scheme", "clientIp", "route", "identity", "header:X_Tenant"],
  };
  await using plugin = await setUpPlugin(extAuth, { options, secrets: { SECRET_PDP: "s3cret" } });
  const exchange = exchangeOf({
    method: "PUT",
    path: "/a/b",
    query: "?q=1",
    fields: ["X-Tenant", "t1", "Cookie", "c=1", "X-User-Id", "forged", "X-Forwarded-Method", "GET"],
    identity: { userId: "zoë" },
  });
  assert.equal(codeOf(await plugin.hooks.onRequest?.(exchange)), "in");
  const [asked] = decider.asked;
  const { host: _, connection: __, ...headers } = asked?.headers ?? {};
  assert.deepEqual([asked?.method, asked?.url], ["GET", "/decide"]);
  assert.deepEqual(headers, {
    "accept-encoding": headers["accept-encoding"],
    authorization: "Bearer s3cret",
    "x-forwarded-for": "192.0.2.7",
    "x-forwarded-host": "api.example",
    "x-forwarded-method": "PUT",
    "x-forwarded-proto": "http",
    "x-forwarded-route": "/*",
    "x-forwarded-uri": "/a/b?q=1",
    "x-tenant": "t1",
    "x-user-id": "zo%C3%AB",
  });
});

test("nobody is told of as a user who is none, and no trailer brings what is told or set", async () => {
  await using decider = await startDecider((_asked, response) => response.end());
  const options = {
    url: decider.url,
    input: ["identity", "header:x-user-id", "header:x-a"],
    fields: ["X-Team"],
  };
  await using plugin = await setUpPlugin(extAuth, { options });
  await plugin.hooks.onRequest?.(exchangeOf({ fields: ["X-User-Id", "root"] }));
  assert.equal(decider.asked[0]?.headers["x-user-id"], undefined);
  assert.deepEqual(plugin.hooks.headOnlyFields, ["x-user-id", "x-a", "X-Team"]);
});

test("asks an Open Policy Agent, and takes from its result what is declared alone", async () => {
  const decision = {
    allow: true,
    headers: { "x-team": "blue", "X-Admin": "1" },
    user: { id: "u7", plan: "gold", groups: ["a", "b"] },
  };
  await using decider = await startDecider((_asked, response) => result(response, decision));
  const options = {
    url: decider.url,
    protocol: "opa",
    input: ["method", "identity", "header:__proto__", "header:x-a"],
    fields: ["X-Team", "X-Absent"],
    identity: { userId: "user.id", plan: "user.plan", roles: "user.groups" },
  };
  await using plugin = await setUpPlugin(extAuth, { options });
  const exchange = exchangeOf({ fields: ["X-A", "1"], identity: { userId: "k1", scopes: ["read"] } });
  assert.equal(codeOf(await plugin.hooks.onRequest?.(exchange)), "in");
  const { input } = JSON.parse(decider.asked[0]?.body ?? "") as { input: Record<string, unknown> };
  assert.deepEqual(input["headers"], { "x-a": "1" });
  assert.equal((input["identity"] as { userId: string }).userId, "k1");
  assert.deepEqual(Object.keys(input), ["method", "identity", "headers"]);
  const { fields } = exchange.request;
  assert.deepEqual(
    [fields.get("x-team"), fields.has("x-admin"), fields.has("x-absent")],
    ["blue", false, false],
  );
  const { userId, issuer, plan, roles, scopes, method } = exchange.identity ?? assert.fail();
  assert.deepEqual([userId, issuer, plan, roles, scopes], ["u7", decider.url, "gold", ["a", "b"], []]);
  assert.equal(method, "ext-auth");
  assert.ok(exchange.credentialFields.includes("x-team"));
  assert.deepEqual(plugin.hooks.ownedRequestFields, ["x-team", "x-absent"]);
});

const results: readonly (readonly [unknown, string])[] = [
  [true, "in"],
  [false, "forbidden"],
  [{ allow: true }, "in"],
  [{ allow: false }, "forbidden"],
  [{ allow: false, status: 401 }, "authentication_required"],
  [{ allow: false, status: 404 }, "forbidden"],
  [{ allow: false, status: 200 }, "forbidden"],
  [undefined, "dependency_unavailable"],
  [null, "dependency_unavailable"],
  ["true", "dependency_unavailable"],
  [{ allow: "true" }, "dependency_unavailable"],
  [[true], "dependency_unavailable"],
  [{ allow: true, headers: { "x-team": "a\r\nX-Admin: 1" } }, "dependency_unavailable"],
  [{ allow: true, headers: { "x-team": ["a"] } }, "dependency_unavailable"],
  [{ allow: true, headers: { "x-team": "a".repeat(5_000) } }, "dependency_unavailable"],
  [{ allow: true, user: "u\n1" }, "dependency_unavailable"],
  [{ allow: true, user: "u", roles: Array.from({ length: 256 }, String) }, "in"],
  [{ allow: true, user: "u", roles: Array.from({ length: 257 }, String) }, "dependency_unavailable"],
  [{ allow: true, padding: "a".repeat(70_000) }, "dependency_unavailable"],
];

test("an agent's result that is not understood is no answer, and never lets anybody in", async () => {
  let next: unknown;
  await using decider = await startDecider((_asked, response) => result(response, next));
  const options = {
    url: decider.url,
    protocol: "opa",
    fields: ["X-Team"],
    identity: { userId: "user", roles: "roles" },
  };
  await using plugin = await setUpPlugin(extAuth, { options });
  for (const [value, expected] of results) {
    next = value;
    const verdict = await plugin.hooks.onRequest?.(exchangeOf());
    assert.equal(codeOf(verdict), expected, JSON.stringify(value)?.slice(0, 80));
  }
});

test("over http a status that is not declared is no answer, nor is a redirect", async () => {
  let status = 200;
  await using decider = await startDecider((_asked, response) =>
    response.writeHead(status, { Location: "/decide?allowed", "X-Team": "blue" }).end(),
  );
  const options = {
    url: decider.url,
    statuses: [401, 404],
    challenge: 'Basic realm="x"',
    fields: ["X-Team"],
  };
  await using plugin = await setUpPlugin(extAuth, { options });
  for (const [given, expected] of [
    [200, "in"],
    [204, "in"],
    [401, "authentication_required"],
    [404, "route_not_found"],
    [403, "dependency_unavailable"],
    [302, "dependency_unavailable"],
    [400, "dependency_unavailable"],
  ] as const) {
    status = given;
    const exchange = exchangeOf();
    const verdict = await plugin.hooks.onRequest?.(exchange);
    assert.equal(codeOf(verdict), expected, String(given));
    assert.equal(exchange.request.fields.get("x-team"), expected === "in" ? "blue" : undefined);
    if (given === 401 && verdict?.action === "reject")
      assert.deepEqual(verdict.error.fields, ["WWW-Authenticate", 'Basic realm="x"']);
  }
  assert.match(await plugin.log(), /no answer from ext-auth\.url/);
});

test("an endpoint that is away, slow or broken is 503 in time, and is left alone after five failures", async () => {
  await using decider = await startDecider((_asked, response) => {
    if (decider.asked.length > 1) response.destroy();
  });
  const options = { url: decider.url, timeoutMs: 100 };
  await using plugin = await setUpPlugin(extAuth, { options });
  for (let i = 0; i < 12; i += 1) {
    const verdict = await plugin.hooks.onRequest?.(exchangeOf());
    assert.equal(codeOf(verdict), "dependency_unavailable");
  }
  assert.ok(decider.asked.length < 12, `${decider.asked.length} questions`);
  assert.match(await plugin.metrics(), /^outrigger_ext_auth_total\{.*result="unavailable".*\} 12$/m);
});

test("answers are shared by requests that are alike in exactly what is declared, for their time", async () => {
  await using decider = await startDecider(({ headers }, response) =>
    response.writeHead(headers["x-forwarded-uri"] === "/no" ? 403 : 200).end(),
  );
  const clock = new TestClock();
  const options = {
    url: decider.url,
    input: ["path", "header:x-tenant"],
    cache: { by: ["path", "header:x-tenant"], ttlSeconds: 5, entries: 3 },
  };
  await using plugin = await setUpPlugin(extAuth, { options, clock });
  const ask = async (facts: ExchangeFacts): Promise<string> =>
    codeOf(await plugin.hooks.onRequest?.(exchangeOf(facts)));
  const count = (): number => decider.asked.length;
  assert.equal(await ask({ path: "/a" }), "in");
  assert.equal(await ask({ path: "/a", method: "POST", query: "?x", address: "10.0.0.1" }), "in");
  assert.equal(count(), 1);
  assert.equal(await ask({ path: "/no" }), "forbidden");
  assert.equal(await ask({ path: "/no" }), "forbidden");
  assert.equal(count(), 2);
  assert.equal(await ask({ path: "/a", fields: ["X-Tenant", ""] }), "in");
  assert.equal(count(), 3, "an empty field is not an absent one");
  clock.advance(5_000);
  assert.equal(await ask({ path: "/a" }), "in");
  assert.equal(count(), 4);
  for (const path of ["/1", "/2", "/3"]) await ask({ path });
  await ask({ path: "/a" });
  assert.equal(count(), 8, "three are kept");
});

test("whoever comes while it is asked waits for that answer, and connections are kept", async () => {
  await using decider = await startDecider((_asked, response) => setImmediate(() => result(response, true)));
  const options = { url: decider.url, protocol: "opa", cache: { by: ["path"], ttlSeconds: 1 } };
  await using plugin = await setUpPlugin(extAuth, { options });
  const many = Array.from({ length: 50 }, async () =>
    codeOf(await plugin.hooks.onRequest?.(exchangeOf({ path: "/a" }))),
  );
  assert.deepEqual(new Set(await Promise.all(many)), new Set(["in"]));
  assert.equal(decider.asked.length, 1);
  for (let i = 0; i < 5; i += 1) await plugin.hooks.onRequest?.(exchangeOf({ path: `/${i}` }));
  assert.deepEqual([decider.asked.length, decider.connections], [6, 1]);
});

test("an outage is not kept", async () => {
  let fine = false;
  await using decider = await startDecider((_asked, response) => response.writeHead(fine ? 200 : 418).end());
  const options = { url: decider.url, cache: { by: ["path"], ttlSeconds: 60 } };
  await using plugin = await setUpPlugin(extAuth, { options });
  assert.equal(codeOf(await plugin.hooks.onRequest?.(exchangeOf())), "dependency_unavailable");
  fine = true;
  assert.equal(codeOf(await plugin.hooks.onRequest?.(exchangeOf())), "in");
});

const refused: readonly (readonly [object, RegExp])[] = [
  [{ url: "http://pdp.example/" }, /allowPlainHttp/],
  [{ url: "https://u:p@pdp.example/" }, /without user info/],
  [{ url: "http://169.254.169.254/", allowPlainHttp: true }, /link-local/],
  [{ url: "file:///etc/passwd" }, /http or https/],
  [{ input: ["body"] }, /must be method/],
  [{ input: ["header:content-length"] }, /frames the message/],
  [{ fields: ["Authorization"] }, /clients' own/],
  [{ fields: ["X-Forwarded-For"] }, /sidecar itself/],
  [{ statuses: [200] }, /Invalid/],
  [{ cache: { ttlSeconds: 5 } }, /share an answer/],
  [{ token: "SECRET_A", input: ["header:Authorization"] }, /cannot both/],
];
for (const [options, message] of refused) {
  test(`cannot be ${JSON.stringify(options)}`, () => {
    assert.match(extAuth.options.safeParse(options).error?.issues[0]?.message ?? "taken", message);
  });
}

test("a policy without a url is refused", async () => {
  await assert.rejects(setUpPlugin(extAuth), /url is not set/);
});

test("lint knows who is let in, and that answers are shared too widely", () => {
  const url = "https://pdp.example/";
  const parse = (options: object) => extAuth.options.parse({ url, ...options });
  const route = {} as LintRoute;
  assert.equal(lint.provides?.authentication?.(parse({}), route), true);
  assert.match(String(lint.provides?.identity?.(parse({}), route)), /identity is not set/);
  assert.equal(lint.provides?.identity?.(parse({ identity: { userId: "X-User" } }), route), true);
  const found = (cache: object): string[] =>
    [
      ...(lint.rules?.["shares-too-much"]?.check(parse({ input: ["path", "identity"], cache }), route, []) ??
        []),
    ].map(({ message }) => message);
  assert.deepEqual(found({}), []);
  assert.match(found({ by: ["path"], ttlSeconds: 5 })[0] ?? "", /leaves out identity/);
});

test("no layer says who calls otherwise than the shared policy, and fields that are asked about are secret", () => {
  const options = { fields: ["X-Team"], input: ["path", "header:x-key"], identity: { userId: "X-User" } };
  assert.deepEqual(extAuth.fleetOptions?.(options), [{ path: ["identity"], values: [{ userId: "X-User" }] }]);
  assert.deepEqual(extAuth.requestFields?.(options), [
    { name: "X-Team", path: ["fields", 0], tellsWho: true },
  ]);
  assert.deepEqual(extAuth.secretNames?.(options), ["x-key"]);
});
