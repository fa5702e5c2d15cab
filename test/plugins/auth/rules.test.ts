// Rules and claims: what they mean, and properties that hold for all of them.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import * as fc from "fast-check";
import { mapIdentity } from "../../../plugins/auth/claims.ts";
import { authOptions } from "../../../plugins/auth/options.ts";
import { Rules } from "../../../plugins/auth/rules/rules.ts";
import { keyDigest } from "../../../plugins/auth/api-keys/key-format.ts";
import { exchangeFor, makeRoute, makeServices, series, type Ask } from "./harness.ts";
import { claimAt } from "../../../src/language/claim-path.ts";
import type { Identity } from "../../../src/plugin-api/contract.ts";

const services = await makeServices();
after(() => services.close());

const keys = [
  { sha256: keyDigest("reader"), id: "k1", userId: "u1", plan: "free", scopes: ["read"], roles: ["user"] },
  {
    sha256: keyDigest("admin"),
    id: "k2",
    userId: "u2",
    plan: "pro",
    scopes: ["read", "users:write"],
    roles: ["admin"],
    claims: { tenant: "acme", level: 3, tags: ["a", "b"], org: { unit: "x" } },
  },
];

/** Status that a caller gets under these rules. */
async function statusOf(
  rules: unknown[],
  key: string | undefined,
  ask: Ask = {},
  options: object = {},
): Promise<number> {
  const route = await makeRoute({ apiKeys: { keys }, guessing: false, rules, ...options }, services);
  return (await route.ask({ ...ask, fields: key === undefined ? [] : ["X-Api-Key", key] })).status;
}

test("the contract's example: DELETE below /api/users needs the scope and the role", async () => {
  const allow = { scopes: { all: ["users:write"] }, roles: { any: ["admin"] } };
  const rules = [{ path: "/api/users/*", methods: ["DELETE"], allow }];
  const ask = { method: "DELETE", path: "/api/users/7" };
  assert.equal(await statusOf(rules, "admin", ask), 200);
  assert.equal(await statusOf(rules, "reader", ask), 403);
  assert.equal(await statusOf(rules, "reader", { ...ask, method: "GET" }), 200);
  assert.equal(await statusOf(rules, "reader", { ...ask, path: "/api/usersX" }), 200);
  assert.equal(await statusOf(rules, undefined, ask), 401);
});

test("nobody who is shown an identity makes it another one for later requests", async () => {
  const rules = [{ path: "/admin", allow: { scopes: { all: ["admin"] } } }];
  const route = await makeRoute({ apiKeys: { keys }, guessing: false, rules }, services);
  const ask = { fields: ["X-Api-Key", "admin"] };
  const { identity } = await route.ask(ask);
  assert.ok(identity);
  assert.throws(() => (identity.scopes as string[]).push("admin"), TypeError);
  assert.throws(() => (identity.claims["tags"] as string[]).push("c"), TypeError);
  assert.throws(() => Object.assign(identity, { plan: "enterprise" }), TypeError);
  assert.equal((await route.ask({ ...ask, path: "/admin" })).status, 403);
});

test("each condition decides by what it names", async () => {
  const cases: [object, boolean][] = [
    [{ scopes: { any: ["x", "read"] } }, true],
    [{ scopes: { all: ["x", "read"] } }, false],
    [{ scopes: { any: ["x"], all: ["read"] } }, false],
    [{ roles: { any: ["admin"] } }, true],
    [{ plan: { any: ["free", "pro"] } }, true],
    [{ plan: { any: ["enterprise"] } }, false],
    [{ claims: { tenant: { equals: "acme" } } }, true],
    [{ claims: { level: { equals: "3" } } }, false],
    [{ claims: { level: { oneOf: [1, 3] } } }, true],
    [{ claims: { tags: { equals: "b" } } }, true],
    [{ claims: { "org.unit": { prefix: "x" } } }, true],
    [{ claims: { "org.constructor": { prefix: "x" } } }, false],
    [{ claims: { absent: { equals: "x" } } }, false],
    [{ client: { cidrs: ["192.0.2.0/24"] } }, true],
    [{ client: { cidrs: ["10.0.0.0/8"] } }, false],
    [{ certificate: { any: ["spiffe://x"] } }, false],
    [{}, true],
  ];
  for (const [condition, holds] of cases) {
    const text = JSON.stringify(condition);
    assert.equal(await statusOf([{ allow: condition }], "admin"), holds ? 200 : 403, `allow ${text}`);
    assert.equal(await statusOf([{ deny: condition }], "admin"), holds ? 403 : 200, `deny ${text}`);
  }
});

test("of allowAny's conditions one is enough, whole", async () => {
  const allowAny = [{ roles: { any: ["admin"] } }, { plan: { any: ["free"] }, scopes: { all: ["read"] } }];
  assert.equal(await statusOf([{ allowAny }], "admin"), 200);
  assert.equal(await statusOf([{ allowAny }], "reader"), 200);
  const halves = [{ plan: { any: ["free"] }, scopes: { all: ["x"] } }, { roles: { any: ["x"] } }];
  assert.equal(await statusOf([{ allowAny: halves }], "reader"), 403);
});

test("an unknown caller is never told 403, whichever rule stops it", async () => {
  for (const rules of [[{ allow: {} }], [{ deny: {} }], [{ allow: { client: { cidrs: ["10.0.0.0/8"] } } }]]) {
    assert.equal(await statusOf(rules, undefined, {}, { required: false }), 401);
  }
  assert.equal(await statusOf([{ path: "/other", deny: {} }], undefined, {}, { required: false }), 200);
});

test("the first failed condition is in the log and the metric, and not in the answer", async () => {
  const rules = [{ name: "writers", allow: { roles: { any: ["user"] }, scopes: { all: ["write"] } } }];
  const route = await makeRoute({ apiKeys: { keys }, rules }, services);
  const answer = await route.ask({ fields: ["X-Api-Key", "reader"] });
  assert.deepEqual([answer.status, answer.error, answer.because], [403, "Forbidden", "rule writers: scopes"]);
  assert.equal(answer.identity?.userId, "u1", "the log line names the caller");
  assert.equal(answer.answerFields.size, 0);
  const labels = { rule: "writers", condition: "scopes", mode: "enforced" };
  assert.equal(await series(services.metrics, "outrigger_auth_rule_refusals_total", labels), 1);
});

test("a dry run lets through, and logs and counts what it would have refused", async () => {
  const rules = [{ name: "trial", allow: { roles: { any: ["nobody"] } }, dryRun: true }];
  assert.equal(await statusOf(rules, "reader"), 200);
  const labels = { rule: "trial", condition: "roles", mode: "dry-run" };
  assert.equal(await series(services.metrics, "outrigger_auth_rule_refusals_total", labels), 1);
  assert.match(await services.log(), /a rule in dry run would have refused this request/);
});

const names = fc.constantFrom("a", "b", "c");
const nameList = fc.uniqueArray(names, { minLength: 1, maxLength: 3 });
const membership = fc.oneof(fc.record({ any: nameList }), fc.record({ all: nameList }));
const condition = fc.record(
  {
    scopes: membership,
    roles: membership,
    plan: fc.record({ any: nameList }),
    client: fc.record({ cidrs: fc.constantFrom(["192.0.2.0/25"], ["192.0.2.128/25"]) }),
    claims: fc.record({ t: fc.oneof(fc.record({ equals: names }), fc.record({ prefix: names })) }),
  },
  { requiredKeys: [] },
);
const path = fc.constantFrom("/*", "/a", "/a/*");
const rule = fc.oneof(
  fc.record({ path, allow: condition }),
  fc.record({ path, allowAny: fc.array(condition, { minLength: 1, maxLength: 2 }) }),
  fc.record({ path, deny: condition, methods: fc.constant(["GET"]) }),
);
const ruleList = fc.array(rule, { maxLength: 5 });
const identity = fc.record({
  userId: fc.constant("u"),
  plan: fc.option(names, { nil: undefined }),
  scopes: fc.uniqueArray(names),
  roles: fc.uniqueArray(names),
  method: fc.constant("jwt"),
  credentialId: fc.constant(undefined),
  claims: fc.record({ t: fc.oneof(names, fc.array(names)) }, { requiredKeys: [] }),
});
const subject = fc.record({
  exchange: fc
    .record({
      path: fc.constantFrom("/a", "/a/b", "/ab"),
      address: fc.constantFrom("192.0.2.1", "192.0.2.200"),
    })
    .map((ask) => exchangeFor(ask)),
  identity: fc.option(identity as fc.Arbitrary<Identity>, { nil: undefined }),
  certificateIds: fc.constant([]),
});

const compiled = (rules: unknown[]): Rules =>
  new Rules(authOptions.parse({ rules }).rules, services.services, false);

test("the order of rules never decides who gets in", () => {
  fc.assert(
    fc.property(ruleList, fc.infiniteStream(fc.nat()), subject, (rules, random, who) => {
      const keyed = rules.map((each) => ({ each, at: random.next().value as number }));
      const shuffled = keyed.sort((x, y) => x.at - y.at).map(({ each }) => each);
      assert.equal(compiled(rules).check(who) === undefined, compiled(shuffled).check(who) === undefined);
    }),
  );
});

test("one more rule only ever narrows, and a deny that holds wins over everything", () => {
  fc.assert(
    fc.property(ruleList, rule, subject, (rules, more, who) => {
      const wider = compiled(rules).check(who);
      const narrower = compiled([...rules, more]).check(who);
      if (wider !== undefined) assert.notEqual(narrower, undefined);
      assert.deepEqual(compiled([...rules, { deny: {} }]).check(who)?.condition, "deny");
    }),
  );
});

test("an unknown caller passes no allow rule", () => {
  fc.assert(
    fc.property(ruleList, subject, (rules, who) => {
      const failure = compiled([...rules, { allow: {} }]).check({ ...who, identity: undefined });
      assert.notEqual(failure, undefined);
    }),
  );
});

const mapping = {
  userId: "sub",
  userIdPrefix: "",
  plan: "plan",
  scopes: "scope",
  roles: "realm_access.roles",
};
const isTexts = (value: unknown): boolean =>
  Array.isArray(value) && value.every((word) => typeof word === "string");

test("claim mapping never throws, never converts, and gives strings without control characters only", () => {
  const claims = fc.record(
    {
      sub: fc.oneof(fc.string(), fc.jsonValue()),
      plan: fc.oneof(fc.string(), fc.jsonValue()),
      scope: fc.oneof(fc.string(), fc.array(fc.string()), fc.jsonValue()),
      realm_access: fc.oneof(
        fc.record({ roles: fc.oneof(fc.array(fc.string()), fc.jsonValue()) }),
        fc.jsonValue(),
      ),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(claims, (given) => {
      const mapped = mapIdentity(given, mapping, "jwt", "i");
      if (typeof mapped === "string") return;
      assert.equal(mapped.userId, given.sub);
      assert.ok(mapped.plan === undefined || mapped.plan === given.plan);
      assert.ok(isTexts(mapped.scopes) && isTexts(mapped.roles));
      const texts = [mapped.userId, mapped.plan ?? "x", ...mapped.scopes, ...mapped.roles];
      assert.ok(texts.every((text) => text !== "" && !/\p{Cc}/u.test(text)));
    }),
  );
});

test("scopes are the same from words and from an array", () => {
  fc.assert(
    fc.property(fc.array(fc.stringMatching(/^[!-~]{1,8}$/)), (words) => {
      for (const scope of [words.join(" "), words]) {
        const mapped = mapIdentity({ sub: "u", scope }, mapping, "jwt", undefined);
        assert.deepEqual(typeof mapped === "string" ? mapped : mapped.scopes, words);
      }
    }),
  );
});

test("a claim is found by its own name first, dots and all, and never in a prototype", () => {
  assert.equal(claimAt({ "https://x.example/plan": "pro" }, "https://x.example/plan"), "pro");
  assert.equal(claimAt({ a: { b: { c: 1 } } }, "a.b.c"), 1);
  assert.equal(claimAt({ "a.b": 1, a: { b: 2 } }, "a.b"), 1);
  for (const name of ["constructor", "__proto__", "toString", "a.constructor"]) {
    assert.equal(claimAt({ a: {} }, name), undefined);
  }
});

test("a rule of peers asks for the SVID of the connection, and for a known caller only where it says so", async () => {
  const peer = ["spiffe://shop.example/ns/*"];
  const svid = { id: "spiffe://shop.example/ns/cart", endsMs: services.clock.now() + 60_000 };
  const certificate = Buffer.from("any");
  const open = { required: false };
  const from = (more: object = {}): Ask => ({ certificate, svid: { ...svid, ...more } });
  assert.equal(await statusOf([{ peer }], undefined, from(), open), 200);
  assert.equal(await statusOf([{ peer }], undefined, from()), 401);
  assert.equal(await statusOf([{ peer }], "reader", from()), 200);
  assert.equal(await statusOf([{ peer, allow: {} }], undefined, from(), open), 401);
  assert.equal(await statusOf([{ peer, allow: { roles: { any: ["admin"] } } }], "reader", from(), open), 403);
  assert.equal(await statusOf([{ peer, allow: { roles: { any: ["admin"] } } }], "admin", from(), open), 200);
  for (const ask of [
    {},
    { certificate },
    from({ id: "spiffe://shop.example/nsx" }),
    from({ endsMs: services.clock.now() }),
  ])
    assert.equal(await statusOf([{ peer }], "admin", ask, open), 403);
});

test("a rule of peers is refused where it would say two things, or has an id that is none", () => {
  const peer = ["spiffe://shop.example/cart"];
  for (const rule of [{ peer, deny: {} }, { peer: [] }, { peer: ["*"] }, { peer: ["cart"] }, {}])
    assert.equal(authOptions.safeParse({ rules: [rule] }).success, false, JSON.stringify(rule));
  for (const rule of [{ peer }, { peer, allow: {} }, { peer, allowAny: [{}] }])
    assert.equal(authOptions.safeParse({ rules: [rule] }).success, true, JSON.stringify(rule));
});
