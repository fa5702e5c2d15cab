// Plugins with options for a part of the callers: which callers, and that the others pay nothing for it.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { CallerFlag } from "../../../src/language/caller-flag.ts";
import type { Identity } from "../../../src/plugin-api/contract.ts";
import { Alternatives } from "../../../src/runtime/alternatives.ts";
import { FlaggedCallers } from "../../../src/runtime/flagged-callers.ts";
import { PartialStep } from "../../../src/runtime/partial-step.ts";
import { createSnapshot } from "../../../src/runtime/snapshot.ts";
import { exchangeOf, identityOf } from "../../support/exchange.ts";
import { hostWith, routeSpec } from "../../support/plugin-host.ts";
import { pluginWith } from "../../support/plugins.ts";

const takes = (flag: CallerFlag, identity?: Partial<Identity>): boolean =>
  new FlaggedCallers("cache", flag).takes("cache", exchangeOf(identity === undefined ? {} : { identity }));
const users = Array.from({ length: 2_000 }, (_, i) => `user-${i}`);

test("a share is as large as it says, keeps its callers when it grows, and is that of alternatives of one name", () => {
  const taken = (percent: number): string[] => users.filter((userId) => takes({ percent }, { userId }));
  const [ten, half] = [taken(10), new Set(taken(50))];
  assert.ok(Math.abs(ten.length / users.length - 0.1) < 0.03, String(ten.length));
  assert.ok(ten.every((id) => half.has(id)));
  assert.deepEqual([taken(0).length, taken(100).length], [0, users.length]);
  const extension = new Alternatives("cache", [{ name: "cache", percent: 10 }]);
  assert.deepEqual(
    users.filter((userId) => extension.takes("cache", exchangeOf({ identity: { userId } }))),
    ten,
  );
});

test("a share of addresses is one of networks, where one caller has all of them", () => {
  const taken = (address: string): boolean =>
    new FlaggedCallers("cache", { percent: 50 }).takes("cache", exchangeOf({ address }));
  const networks = Array.from({ length: 40 }, (_, i) => `2001:db8:0:${i}:`);
  const first = networks.map((network) => taken(`${network}:1`));
  assert.deepEqual(
    networks.map((network) => taken(`${network}ffff::2`)),
    first,
  );
  assert.equal(new Set(first).size, 2);
});

test("a segment is of those of whom all of it holds, and of nobody who is not known", () => {
  const pro = { plan: "pro", roles: ["beta"], scopes: ["read", "write"] };
  for (const when of [
    { plan: "pro" },
    { plan: ["team", "pro"] },
    { roles: "beta" },
    { scopes: ["admin", "write"] },
    { plan: "pro", roles: ["beta"], scopes: "read" },
  ])
    assert.ok(takes({ when }, pro), JSON.stringify(when));
  for (const when of [{ plan: "free" }, { roles: "staff" }, { plan: "pro", scopes: "admin" }])
    assert.ok(!takes({ when }, pro), JSON.stringify(when));
  assert.ok(!takes({ when: { plan: "pro" } }));
  assert.ok(!takes({ when: { plan: "pro" }, percent: 0 }, pro));
});

test("what was settled once for a request stays", () => {
  const flag = new FlaggedCallers("cache", { when: { plan: "pro" } });
  const exchange = exchangeOf({});
  assert.equal(flag.takes("cache", exchange), false);
  exchange.identity = identityOf({ plan: "pro" });
  assert.equal(flag.takes("cache", exchange), false);
});

test("a chain without flags has none of it, and one with them says which answers are alike", async () => {
  const first = pluginWith("first", { onRequest: () => undefined }, { priority: 1 });
  const last = pluginWith("last", { onRequest: () => undefined }, { priority: 2 });
  const routes = [
    routeSpec("/plain", ["first", "last"]),
    routeSpec("/flagged", ["first", "last"], { last: { flag: { when: { plan: "pro" } } } }),
  ];
  const spec = { routes, unmatched: routeSpec("", []) };
  const snapshot = await createSnapshot(spec, hostWith([first, last]), () => {});
  const [plain, flagged] = snapshot.routes.map(({ chain }) => chain);
  assert.ok(plain && flagged);
  assert.ok(plain.steps.every((step) => !(step instanceof PartialStep)));
  const variants = [undefined, { plan: "pro" }].map((identity) => {
    const exchange = exchangeOf(identity === undefined ? {} : { identity });
    void plain.request(exchange);
    assert.equal(exchange.variant, "");
    void flagged.request(exchange);
    const beyond = exchange.variant;
    exchange.reached = 1;
    return [beyond, exchange.variant];
  });
  assert.deepEqual(variants, [
    ["", "last-"],
    ["", "last+"],
  ]);
});
