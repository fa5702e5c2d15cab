// The ip-filter plugin on single exchanges, with networks from the policy only.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ipFilter } from "../../../plugins/ip-filter/index.ts";
import { lint } from "../../../plugins/ip-filter/lint.ts";
import type { LintRoute, Verdict } from "../../../src/plugin-api/contract.ts";
import { setUpPlugin } from "../../../src/testing/hooks.ts";
import { exchangeOf } from "../../support/exchange.ts";

const codeOf = (verdict: Verdict): string => (verdict?.action === "reject" ? verdict.error.code : "in");

async function outcomes(options: object, addresses: readonly string[]): Promise<string[]> {
  await using plugin = await setUpPlugin(ipFilter, { options });
  const asked = addresses.map(async (address) =>
    codeOf(await plugin.hooks.onRequest?.(exchangeOf({ address }))),
  );
  return Promise.all(asked);
}

test("lets in what allow has and deny has not", async () => {
  const options = { allow: ["10.0.0.0/8", "2001:db8::/32"], deny: ["10.1.0.0/16", "2001:db8::7"] };
  const addresses = [
    "10.2.0.1",
    "2001:db8::8",
    "::ffff:10.2.0.1",
    "10.1.0.1",
    "2001:db8::7",
    "11.0.0.1",
    "fe80::1",
    "unix",
  ];
  assert.deepEqual(await outcomes(options, addresses), [
    "in",
    "in",
    "in",
    ...Array<string>(5).fill("forbidden"),
  ]);
});

test("with deny alone everybody else is let in, but for who has no address", async () => {
  const addresses = ["10.1.0.1", "10.2.0.1", "2001:db8::1", "unix", ""];
  const expected = ["forbidden", "in", "in", "forbidden", "forbidden"];
  assert.deepEqual(await outcomes({ deny: ["10.1.0.0/16"] }, addresses), expected);
});

test("says in the log why, and to the client nothing of the networks", async () => {
  await using plugin = await setUpPlugin(ipFilter, { options: { allow: ["10.0.0.0/8"] } });
  const exchange = exchangeOf({ address: "192.0.2.7" });
  const verdict = await plugin.hooks.onRequest?.(exchange);
  assert.equal(exchange.refusedBecause, "in no network that is allowed");
  assert.ok(verdict?.action === "reject" && !/\d/.test(verdict.error.detail));
  assert.match(await plugin.metrics(), /^outrigger_ip_filter_total\{.*result="refused".*\} 1$/m);
});

test("asks about exchanges that go on, without counting them", async () => {
  await using plugin = await setUpPlugin(ipFilter, { options: { deny: ["10.0.0.0/8"] } });
  assert.equal(codeOf(await plugin.hooks.recheck?.(exchangeOf({ address: "10.0.0.1" }))), "forbidden");
  assert.equal(codeOf(await plugin.hooks.recheck?.(exchangeOf({ address: "11.0.0.1" }))), "in");
  assert.doesNotMatch(await plugin.metrics(), /^outrigger_ip_filter_total\{.*\} [1-9]/m);
});

test("a dry run counts and logs, once for many, and refuses nothing", async () => {
  await using plugin = await setUpPlugin(ipFilter, { options: { allow: ["10.0.0.0/8"], dryRun: true } });
  for (let i = 0; i < 50; i += 1) {
    assert.equal(codeOf(await plugin.hooks.onRequest?.(exchangeOf({ address: "192.0.2.7" }))), "in");
  }
  assert.equal(codeOf(await plugin.hooks.recheck?.(exchangeOf({ address: "192.0.2.7" }))), "in");
  assert.match(await plugin.metrics(), /^outrigger_ip_filter_total\{.*result="would_refuse".*\} 50$/m);
  const lines = (await plugin.log()).split("\n").filter((line) => line.includes("would be refused"));
  assert.equal(lines.length, 1);
  assert.match(lines[0] ?? "", /"clientIp":"192\.0\.2\.7"/);
});

test("lists without a Redis are refused with the policy", async () => {
  await assert.rejects(setUpPlugin(ipFilter, { options: { lists: ["office"] } }), /set REDIS_URL/);
  for (const name of ["Office", "a:b", "", "*"]) {
    assert.equal(ipFilter.options.safeParse({ denyLists: [name] }).success, false, name);
  }
});

test("lint knows whom it lets in", () => {
  const addresses = (options: object): unknown =>
    lint.provides?.addresses?.(ipFilter.options.parse(options), {} as LintRoute);
  assert.equal(addresses({ allow: ["10.0.0.0/8"] }), true);
  assert.equal(addresses({ lists: ["office"] }), true);
  for (const options of [
    {},
    { deny: ["10.0.0.0/8"] },
    { allow: ["::/0"] },
    { lists: ["office"], dryRun: true },
  ]) {
    assert.match(String(addresses(options)), /^ip-filter/);
  }
  const found = (options: object): string[] =>
    [
      ...(lint.rules?.["holds-nobody-off"]?.check(ipFilter.options.parse(options), {} as LintRoute, []) ??
        []),
    ].map(({ path }) => path.join("."));
  assert.deepEqual(found({}), [""]);
  assert.deepEqual(found({ allow: ["10.0.0.0/8", "0.0.0.0/0"], deny: ["::/0"] }), ["allow.1", "deny.0"]);
  assert.deepEqual(found({ denyLists: ["abusers"] }), []);
});
