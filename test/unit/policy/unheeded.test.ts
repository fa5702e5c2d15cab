// Parts of a policy that are valid and not in force.
import assert from "node:assert/strict";
import { test } from "node:test";
import { applyLayer } from "../../../src/policy/layers.ts";
import type { PolicyDocument } from "../../../src/policy/schema.ts";
import { unheeded } from "../../../src/policy/unheeded.ts";

const pathsFor = (document: Omit<PolicyDocument, "apiVersion">): string[] => {
  const shared: PolicyDocument = { apiVersion: "outrigger/v1", ...document };
  return unheeded(applyLayer(shared, undefined, undefined).effective).map(({ path }) => path);
};

test("options and locks of a plugin that runs nowhere are told, and on a route that does not run it", () => {
  const rules = { auth: { rules: [{ deny: {} }] } };
  assert.deepEqual(pathsFor({ plugins: ["logging"], pluginConfig: rules, locked: ["auth"] }), [
    "pluginConfig.auth",
    "locked[0]",
  ]);
  assert.deepEqual(pathsFor({ routes: [{ path: "/a" }, { path: "/b", pluginConfig: rules }] }), [
    "routes[1].pluginConfig.auth",
  ]);
});

test("what runs somewhere is not", () => {
  const routes = [{ path: "/a", plugins: ["auth"], pluginConfig: { auth: {} } }];
  assert.deepEqual(
    pathsFor({ plugins: ["logging"], pluginConfig: { auth: {} }, locked: ["auth"], routes }),
    [],
  );
  assert.deepEqual(
    pathsFor({ pluginConfig: { logging: {} }, routes: [{ path: "/a", services: ["b"] }] }),
    [],
  );
});
