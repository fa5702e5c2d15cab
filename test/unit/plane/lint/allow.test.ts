// Findings that a policy allows are not reported; an allowance that matches nothing is.
import assert from "node:assert/strict";
import { test } from "node:test";
import { PolicyRefused } from "../../../../src/policy/document/problems.ts";
import { lintOf, type Parts } from "./policies.ts";

const open = {
  plugins: ["auth"],
  routes: [{ path: "/*" }, { path: "/a", plugins: ["logging"] }, { path: "/b", plugins: ["logging"] }],
};
const unlimited = { code: "unlimited-route", reason: "small" };
const told = async (policy: Parts, ...allow: readonly object[]): Promise<string[]> => {
  const findings = await lintOf({ ...policy, lint: { allow: [unlimited, ...allow] } });
  return findings.map(({ code, path }) => `${code} ${path}`);
};

test("an allowance silences its code, everywhere or on one route", async () => {
  assert.deepEqual(await told(open), [
    "unauthenticated-route routes[1].plugins",
    "unauthenticated-route routes[2].plugins",
  ]);
  const reason = "public by decision of the owner";
  assert.deepEqual(await told(open, { code: "unauthenticated-route", reason }), []);
  assert.deepEqual(await told(open, { code: "unauthenticated-route", route: "/a", reason }), [
    "unauthenticated-route routes[2].plugins",
  ]);
});

test("on one route it leaves the others of a common option", async () => {
  const policy = { ...open, plugins: ["auth", "cache"], pluginConfig: { cache: { scope: "shared" } } };
  const routes = [{ path: "/*" }, { path: "/a" }, { path: "/b" }];
  const allow = [unlimited, { code: "cache/shared-for-identities", route: "/a", reason: "x" }];
  const findings = await lintOf({ ...policy, routes, lint: { allow } });
  assert.deepEqual(
    findings.map(({ code, routes: on }) => [code, on]),
    [["cache/shared-for-identities", ["/*", "/b"]]],
  );
});

test("one that no rule knows, or that silences nothing, is said", async () => {
  const allowed = { code: "unauthenticated-route", reason: "x" };
  assert.deepEqual(await told(open, allowed, { code: "unauthenticated-rout", reason: "x" }), [
    "unknown-allowance lint.allow[2].code",
  ]);
  assert.deepEqual(await told(open, allowed, { code: "cors/null-origin", reason: "x" }), [
    "unused-allowance lint.allow[2]",
  ]);
  assert.deepEqual(await told(open, allowed, { ...allowed, route: "/*" }), [
    "unused-allowance lint.allow[2]",
  ]);
  assert.deepEqual(await told(open, allowed, { code: "unused-allowance", reason: "x" }), [
    "unused-allowance lint.allow[2]",
  ]);
});

test("one without a reason is refused, and the field changes nothing else", async () => {
  for (const allow of [
    [{ code: "unlimited-route" }],
    [{ code: "unlimited-route", reason: " " }],
    [{ code: "X", reason: "x" }],
  ])
    await assert.rejects(lintOf({ ...open, lint: { allow } }), PolicyRefused);
});

test("so many findings are told as anybody reads, and the rest counted", async () => {
  const { lintPolicy } = await import("../../../../src/plane/lint/lint.ts");
  const { pluginsByName } = await import("../../../../src/app/registry.ts");
  const routes = Array.from({ length: 5_000 }, (_, index) => ({ path: `/r/${index}`, plugins: ["logging"] }));
  const policy = { apiVersion: "outrigger/v1", plugins: ["auth"], routes: [{ path: "/*" }, ...routes] };
  const raw = { shared: Buffer.from(JSON.stringify(policy)), layer: undefined, format: "json" } as const;
  const options = { plugins: pluginsByName, service: undefined, ownBase: "" };
  const { findings, left } = await lintPolicy(raw, options);
  assert.equal(findings.length, 100);
  assert.equal(left, 5_000 + 1 - 100);
});
