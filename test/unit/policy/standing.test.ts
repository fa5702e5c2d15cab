// A layer that was in force before a new shared policy never holds that policy back; a new layer that does not fit is
// refused.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Chosen, chooseLayer } from "../../../src/policy/layers/choose-layer.ts";
import { createPolicyReader, type RawPolicy } from "../../../src/policy/read.ts";
import { problemsOf, samplePlugins, text } from "./sample.ts";

const raw = (shared: object, layer?: object | string): RawPolicy => ({
  shared: Buffer.from(text(shared)),
  layer: layer === undefined ? undefined : Buffer.from(typeof layer === "string" ? layer : text(layer)),
  format: "json",
});
async function choose(now: RawPolicy, known?: RawPolicy): Promise<Chosen> {
  const read = await createPolicyReader({
    plugins: samplePlugins,
    service: "users",
    upstreamAllow: [],
    keys: undefined,
  });
  return chooseLayer(read, now, known);
}
const overruled = ({ policy }: Chosen): string[] => policy.overruled.map(({ path }) => path);

const open = { plugins: ["logging"] };
const locking = { plugins: ["logging", "auth"], locked: ["auth"] };
const layer = { plugins: ["logging", "transform"], routes: [{ path: "/x", plugins: [], timeout: 5 }] };

describe("a shared policy whose locks a standing layer contradicts", () => {
  test("is in force with what the locks leave of the layer", async () => {
    const chosen = await choose(raw(locking, layer), raw(open, layer));
    assert.deepEqual(chosen.policy.document.plugins, ["logging", "transform", "auth"]);
    assert.deepEqual(chosen.policy.routes[1]?.plugins, ["auth"]);
    assert.equal(chosen.policy.routes[1]?.timeoutMs, 5);
    assert.deepEqual(overruled(chosen), ["plugins", "routes[0].plugins"]);
    assert.deepEqual(chosen.policy.overruled[0]?.document, "policy:users");
    assert.deepEqual(chosen.refused, []);
  });

  test("is in force in a sidecar that knows of no policy before, in the same form", async () => {
    const fresh = await choose(raw(locking, layer));
    const old = await choose(raw(locking, layer), raw(open, layer));
    assert.equal(fresh.policy.digest, old.policy.digest);
  });

  test("is still refused when it is wrong itself", async () => {
    const wrong = { ...locking, pluginConfig: { cache: { ttlSeconds: "x" } } };
    const problems = await problemsOf(() => choose(raw(wrong, layer), raw(open, layer)));
    assert.deepEqual(
      problems.map(({ document, path }) => `${document} ${path}`),
      ["policy pluginConfig.cache.ttlSeconds"],
    );
  });
});

describe("a new layer that contradicts a standing lock", () => {
  test("is refused", async () => {
    await problemsOf(() => choose(raw(locking, layer), raw(locking)));
  });

  for (const [what, bad] of [
    ["contradicts a lock", { plugins: ["cache"] }],
    ["is not JSON", "<html>"],
    ["names an unknown plugin", { plugins: ["auht"] }],
  ] as const) {
    test(`and ${what} does not keep a new shared policy out: the layer before it stays`, async () => {
      const chosen = await choose(raw(locking, bad), raw(open, layer));
      assert.deepEqual(chosen.policy.document.plugins, ["logging", "transform", "auth"]);
      assert.equal(chosen.refused[0]?.document, "policy:users");
      assert.deepEqual(chosen.raw.layer, raw(open, layer).layer);
    });
  }

  test("cannot be read where nothing was in force: refused, for what it would have guarded is not known", async () => {
    await problemsOf(() => choose(raw(locking, "<html>")));
  });
});

describe("a standing layer whose options do not fit any more", () => {
  const scoped = { plugins: ["logging", "auth", "cache"], pluginConfig: { cache: { scope: { by: "x" } } } };

  test("is in force without them", async () => {
    const odd = { pluginConfig: { cache: { scope: { from: 1 }, ttlSeconds: 3 } }, routes: [{ path: "/x" }] };
    const chosen = await choose(raw(scoped, odd));
    assert.deepEqual(chosen.policy.document.pluginConfig, { cache: { scope: { by: "x" } } });
    assert.deepEqual(
      chosen.policy.routes.map(({ path, closed }) => [path, closed]),
      [
        ["/*", undefined],
        ["/x", undefined],
      ],
    );
    assert.match(overruled(chosen).join(), /pluginConfig.cache.scope/);
  });

  test("closes the routes on which they are a security plugin's", async () => {
    const odd = {
      routes: [{ path: "/x", pluginConfig: { auth: { jwt: 1 } } }, { path: "/y" }],
    };
    const chosen = await choose(raw(scoped, odd));
    assert.deepEqual(
      chosen.policy.document.routes.map(({ path, closed }) => [path, closed]),
      [
        ["/*", undefined],
        ["/x", true],
        ["/y", undefined],
      ],
    );
    assert.deepEqual(chosen.policy.routes[1]?.pluginConfig, { cache: { scope: { by: "x" } } });
  });

  test("closes every route that runs the plugin when they are defaults", async () => {
    const odd = { pluginConfig: { auth: { jwt: 1 } }, routes: [{ path: "/x", plugins: ["cache"] }] };
    const chosen = await choose(raw(scoped, odd));
    assert.deepEqual(
      chosen.policy.routes.map(({ closed }) => closed),
      [true, undefined],
    );
  });
});
