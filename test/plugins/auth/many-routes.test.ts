// Options at the top of a policy with thousands of routes: derived state is built once, not once per route.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Exclusions, forwarding } from "../../../plugins/auth/rules/exclusions.ts";
import { Rules } from "../../../plugins/auth/rules/rules.ts";
import { authOptions } from "../../../plugins/auth/options.ts";
import { makeServices } from "./harness.ts";

test("rules and exclusions of the same options cost one route little more than none", async () => {
  const testServices = await makeServices({});
  const { services } = testServices;
  const paths = Array.from({ length: 2_000 }, (_, i) => `/x${i}/*`);
  const rules = paths.map((path) => ({ path, allow: { roles: { any: ["admin"] } } }));
  const options = authOptions.parse({ exclude: paths, rules, forwardCredentials: true });
  const route = { caseInsensitive: false, stripPrefix: "/x", strippedOver: [] } as const;
  const setUp = (): unknown => {
    const own = new Rules(options.rules, services, false);
    const info = { ...route, pattern: "/*", upstream: "", secretNames: new Set<string>() };
    const forwarded = forwarding(options.exclude, true);
    return [own, new Exclusions(options.exclude, info, own), new Exclusions(forwarded, info, own)];
  };
  setUp();
  const before = process.memoryUsage().heapUsed;
  const held = Array.from({ length: 200 }, setUp);
  assert.equal(held.length, 200);
  assert.ok(process.memoryUsage().heapUsed - before < 100 * 1_048_576);
  testServices.close();
});
