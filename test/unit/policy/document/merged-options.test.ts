// How large small documents can become once options are merged for each route.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { effective, problemsOf } from "../sample.ts";
import { cpuMs } from "../../../support/cpu.ts";

const exclude = Array.from({ length: 20_000 }, (_, i) => `/path-${i}/*`);
const top = { plugins: ["auth"], pluginConfig: { auth: { exclude } } };
const routes = (count: number, own: (index: number) => object): object[] =>
  Array.from({ length: count }, (_, index) => ({ path: `/r${index}`, pluginConfig: { auth: own(index) } }));
const distinct = (index: number): object => ({ jwt: { issuer: `https://${index}` } });

describe("options merged for each route", () => {
  test("are one object for routes that say the same, however many", async () => {
    const own = (index: number): object => ({ required: index % 2 === 0 });
    const policy = await effective({ ...top, routes: routes(2_000, own) });
    assert.equal(new Set(policy.routes.map(({ pluginConfig }) => pluginConfig["auth"])).size, 2);
  });

  test("are refused where they come to more than can be set up: told once, with the plugin", async () => {
    const began = cpuMs();
    const problems = await problemsOf(() => effective({ ...top, routes: routes(2_000, distinct) }));
    assert.equal(problems.length, 1);
    assert.match(problems[0]?.path ?? "", /^routes\[\d+\]\.pluginConfig\.auth$/);
    assert.match(problems[0]?.message ?? "", /come to more than 33554432 bytes: .*keep API keys in Redis/);
    assert.ok(cpuMs() - began < 10_000);
  });

  test("are taken of 9,000 plain routes", async () => {
    const small = { plugins: ["auth"], pluginConfig: { auth: { exclude: exclude.slice(0, 50) } } };
    assert.equal((await effective({ ...small, routes: routes(9_000, distinct) })).routes.length, 9_000);
  });
});
