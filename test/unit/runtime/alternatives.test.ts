// Plugins that run for a part of the callers: for which part, how large it is, and which parts of a plugin run for the
// others.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Extension } from "../../../src/extensions/entry.ts";
import { GatewayError } from "../../../src/plugin-api/errors.ts";
import { Alternatives } from "../../../src/runtime/alternatives.ts";
import type { Chain } from "../../../src/runtime/chain.ts";
import type { LiveExchange } from "../../../src/runtime/exchange.ts";
import { LiveResponse } from "../../../src/runtime/response.ts";
import { createSnapshot } from "../../../src/runtime/snapshot.ts";
import { exchangeOf, identityOf, outcomeOf } from "../../support/exchange.ts";
import { type BundleOptions, bundleExtension, pluginCode } from "../../support/extensions.ts";
import { hostWith, routeSpec } from "../../support/plugin-host.ts";

const callers = Array.from({ length: 4_000 }, (_, i) => `user-${i}`);
const asUser = (userId: string, issuer?: string): LiveExchange =>
  exchangeOf({ identity: { userId, issuer } });
const share = (taken: readonly unknown[]): number => taken.length / callers.length;
const near = (value: number, wanted: number): void =>
  assert.ok(Math.abs(value - wanted) < 0.025, `${value}, not ${wanted}`);

describe("a part of the callers", () => {
  const part = (percent: number, name = "geo"): Alternatives => new Alternatives(name, [{ name, percent }]);

  it("is as large as it says, by identity and by address", () => {
    for (const percent of [0, 1, 10, 50, 99.5, 100]) {
      const one = part(percent);
      near(share(callers.filter((id) => one.takes("geo", asUser(id)))), percent / 100);
      const addresses = callers.map((_, i) => `192.0.${i >> 8}.${i & 255}`);
      near(share(addresses.filter((address) => one.takes("geo", exchangeOf({ address })))), percent / 100);
    }
    assert.ok(callers.every((id) => part(100).takes("geo", asUser(id)) && !part(0).takes("geo", asUser(id))));
  });

  it("has always the same callers, and the same and more when it grows", () => {
    const small = callers.filter((id) => part(10).takes("geo", asUser(id)));
    assert.deepEqual(
      callers.filter((id) => part(10).takes("geo", asUser(id))),
      small,
    );
    assert.ok(small.every((id) => part(20).takes("geo", asUser(id))));
  });

  it("has other callers for another plugin, and for another issuer's users of one id", () => {
    const [half, other] = [part(50), part(50, "score")];
    near(
      share(callers.filter((id) => half.takes("geo", asUser(id)) && other.takes("score", asUser(id)))),
      0.25,
    );
    const alike = callers.filter(
      (id) =>
        half.takes("geo", asUser(id, "https://a.example")) &&
        half.takes("geo", asUser(id, "https://b.example")),
    );
    near(share(alike), 0.25);
  });

  it("is settled when first asked for, by the address while nobody is known", () => {
    const half = part(50);
    for (const id of callers.slice(0, 200)) {
      const exchange = exchangeOf({ address: `192.0.2.${id.length}` });
      const before = half.takes("geo", exchange);
      exchange.identity = identityOf({ userId: id });
      assert.equal(half.takes("geo", exchange), before);
    }
  });
});

const marks: string[] = [];
Object.assign(globalThis, { marks });

/** Tells of each of its hooks. */
function version(name: string, options: Partial<BundleOptions> = {}, facts: object = {}): Extension {
  const mark = (hook: string): string => `${hook}: () => void marks.push("${name} ${hook}")`;
  const hooks = ["onRequest", "onResponse", "onError", "onComplete", "recheck"].map(mark).join(", ");
  return bundleExtension({
    name,
    code: pluginCode(`setup: () => ({ ${hooks} })`, { name, ...facts }),
    ...options,
  });
}

async function chainOf(extensions: readonly Extension[], names: readonly string[]): Promise<Chain> {
  const spec = { routes: [routeSpec("/*", names)], unmatched: routeSpec("", []) };
  const snapshot = await createSnapshot(spec, await hostWith([]).with(extensions), () => {});
  const [route] = snapshot.routes;
  assert.ok(route);
  return route.chain;
}

/** All hooks of one exchange. @returns which of them ran */
function run(chain: Chain, exchange: LiveExchange): string[] {
  marks.length = 0;
  void chain.request(exchange);
  void chain.response(exchange, LiveResponse.fromError(new GatewayError("not_ready", ""), exchange.id));
  void chain.error(exchange, new GatewayError("not_ready", ""));
  chain.complete(exchange, outcomeOf());
  void chain.recheck(exchange);
  return [...marks];
}

const every = (name: string): string[] =>
  ["onRequest", "onResponse", "onError", "onComplete", "recheck"].map((hook) => `${name} ${hook}`);

describe("two versions of a plugin at once", () => {
  const pair = (percent: number): Extension[] => [
    version("geo"),
    version("geo2", { entry: { replaces: "geo", percent } }),
  ];

  const both = ["geo", "geo2"];

  it("are one for each caller with all its hooks", async () => {
    const chain = await chainOf(pair(25), both);
    const taken = callers.slice(0, 1_000).filter((id) => {
      const ran = run(chain, asUser(id));
      assert.deepEqual(ran, every(ran[0]?.startsWith("geo2") === true ? "geo2" : "geo"));
      return ran[0] === "geo2 onRequest";
    });
    near(taken.length / 1_000, 0.25);
  });

  it("are the one that is left when the other is switched off", async () => {
    const chain = await chainOf(pair(50), both);
    const withoutNew = chain.without(({ name }) => name === "geo2");
    const withoutOld = chain.without(({ name }) => name === "geo");
    for (const id of callers.slice(0, 100)) {
      const [first] = run(chain, asUser(id));
      assert.deepEqual(run(withoutNew, asUser(id)), every("geo"));
      assert.deepEqual(run(withoutOld, asUser(id)), first === "geo2 onRequest" ? every("geo2") : []);
    }
  });

  it("stay what an exchange that goes on was given, whoever it turns out to be from", async () => {
    const chain = await chainOf(pair(50), both);
    for (const id of callers.slice(0, 100)) {
      const exchange = asUser(id);
      const [first = ""] = run(chain, exchange);
      const again = exchangeOf();
      again.choices = exchange.choices;
      marks.length = 0;
      void chain.recheck(again);
      assert.deepEqual(marks, [first.replace("onRequest", "recheck")]);
    }
  });

  it("run all hooks of one that has no other, or none", async () => {
    const chain = await chainOf([version("geo", { entry: { percent: 50 } })], ["geo"]);
    const ran = new Set(callers.slice(0, 100).map((id) => run(chain, asUser(id)).length));
    assert.deepEqual(ran, new Set([0, 5]));
  });

  it("let nobody in unjudged", async () => {
    const guard = (name: string, entry: BundleOptions["entry"] = {}): Extension =>
      version(name, { manifest: { security: true }, entry }, { security: true });
    const refused = (extensions: readonly Extension[]): Promise<void> =>
      assert.rejects(
        chainOf(extensions, ["geo"]),
        /"geo2?" decides who gets in, and only for a part of the callers/,
      );
    await refused([guard("geo", { percent: 99 })]);
    await refused([version("geo"), guard("geo2", { replaces: "geo", percent: 50 })]);
    await refused([guard("geo"), version("geo2", { entry: { replaces: "geo", percent: 50 } })]);
    await refused([guard("geo", { percent: 50 }), guard("geo2", { replaces: "geo", percent: 50 })]);
    await chainOf([guard("geo"), guard("geo2", { replaces: "geo", percent: 50 })], ["geo"]);
  });
});
