// The rules that nft gets, what is read from its listing, and what is refused before nft runs.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hostNetworkSign } from "../../../src/intercept/host-network.ts";
import { findNft } from "../../../src/intercept/nft.ts";
import { planOf, type Wanted } from "../../../src/intercept/plan.ts";
import { readTable } from "../../../src/intercept/read-rules.ts";
import { chainsOf, type Interception, installation, serviceOfTable } from "../../../src/intercept/rules.ts";
import { readSettings } from "../../../src/intercept/settings.ts";
import { outrigger } from "../../support/process.ts";

const inbound: Interception = { service: "cart", port: 3000, toPort: 8080 };
const both: Interception = {
  ...inbound,
  egress: { ports: [80, 8000], toPort: 15_001, users: { allBut: 65_532 } },
};
const ofOne: Interception = {
  ...inbound,
  egress: { ports: [80], toPort: 15_001, users: { only: 0 } },
};

/** As nft lists them: by numbers, with handles and counts. */
function listed(interception: Interception): { nftables: object[] } {
  const table = { family: "inet", name: "outrigger-cart", handle: 1 };
  const asNumbers = (text: string): string =>
    text
      .replaceAll('"right":"local"', '"right":2')
      .replaceAll('"expr":"admin-prohibited"', '"expr":13')
      .replaceAll('"counter":null', '"counter":{"packets":7,"bytes":420}');
  const items = chainsOf(interception).flatMap(({ rules, ...chain }) => [
    { chain: { family: "inet", table: table.name, handle: 2, policy: "accept", ...chain } },
    ...rules.map((expr) => ({
      rule: { family: "inet", table: table.name, chain: chain.name, handle: 3, expr },
    })),
  ]);
  return {
    nftables: [{ metainfo: {} }, { table }, ...(JSON.parse(asNumbers(JSON.stringify(items))) as object[])],
  };
}

describe("rules", () => {
  for (const interception of [inbound, both, ofOne]) {
    const what = interception.egress === undefined ? "inbound" : JSON.stringify(interception.egress.users);
    it(`are read back from nft's listing: ${what}`, () => {
      const installed = readTable("cart", listed(interception));
      assert.deepEqual(installed.interception, interception);
      assert.equal(installed.intact, true);
      assert.equal(installed.connections["inbound"], 7);
    });
  }

  it("count as altered with one more, one less, or one that differs", () => {
    const { nftables } = listed(both);
    const text = JSON.stringify(nftables);
    const accept = { rule: { chain: "inbound", expr: [{ accept: null }] } };
    const without = nftables.filter((_, at) => at !== nftables.length - 1);
    const other = JSON.parse(text.replace('"right":"lo"', '"right":"eth0"')) as object[];
    const open = JSON.parse(text.replace('"policy":"accept"', '"policy":"drop"')) as object[];
    const dormant = JSON.parse(text.replace('"handle":1', '"handle":1,"flags":"dormant"')) as object[];
    for (const changed of [[...nftables, accept], without, other, open, dormant, []])
      assert.equal(readTable("cart", { nftables: changed }).intact, false);
    for (const strange of [undefined, null, 7, { nftables: [null, { rule: 7 }, { chain: {} }] }])
      assert.equal(readTable("cart", strange).intact, false);
  });

  it("replace what was there in one transaction", () => {
    const { nftables } = installation(inbound) as { nftables: object[] };
    const table = { family: "inet", name: "outrigger-cart" };
    assert.deepEqual(nftables.slice(0, 3), [{ add: { table } }, { delete: { table } }, { add: { table } }]);
  });

  it("know tables of others, whatever they are called", () => {
    assert.equal(serviceOfTable("outrigger-a.b_c"), "a.b_c");
    for (const name of ["filter", "outrigger-", "outrigger-a; flush ruleset", "outrigger-../a"])
      assert.equal(serviceOfTable(name), undefined);
  });
});

describe("what is refused", () => {
  const refusal = (env: Record<string, string>, wanted: Wanted = {}): string => {
    try {
      return planOf(readSettings(env), wanted).notes.join();
    } catch (error) {
      return (error as Error).message;
    }
  };
  const egress = { OUTRIGGER_EGRESS: "127.0.0.1:15001" };
  for (const [what, env, wanted, said] of [
    ["the service on the sidecar's port", { OUTRIGGER_LISTEN: "0.0.0.0:3000" }, {}, /same port 3000: give/],
    ["ssh", {}, { port: 22 }, /port 22 is ssh/],
    ["the admin listener's port", {}, { port: 9901 }, /admin listener/],
    ["a sidecar on loopback alone", { OUTRIGGER_LISTEN: "127.0.0.1:8080" }, {}, /on loopback alone/],
    ["a sidecar at a unix socket", { OUTRIGGER_LISTEN: "unix:/a" }, {}, /a port alone/],
    ["a service at a unix socket", { OUTRIGGER_UPSTREAM: "unix:/a" }, {}, /no port to intercept/],
    ["a service elsewhere", { OUTRIGGER_UPSTREAM: "http://a:1" }, {}, /not on loopback/],
    ["no egress listener", {}, { egressPorts: [80] }, /OUTRIGGER_EGRESS is not set/],
    ["outbound TLS", egress, { egressPorts: [80, 443] }, /443 is TLS/],
    ["outbound ssh", egress, { egressPorts: [22] }, /port 22 is ssh/],
    ["the egress listener's own port", egress, { egressPorts: [15_001] }, /OUTRIGGER_EGRESS itself/],
    [
      "an egress listener elsewhere",
      { ...egress, OUTRIGGER_EGRESS: "127.0.0.2:1" },
      { egressPorts: [80] },
      /at 127\.0\.0\.2/,
    ],
    ["one user for both", egress, { egressPorts: [80], serviceUid: 65_532 }, /cannot be told apart/],
    ["(said, not refused) no IPv6", {}, {}, /^clients that come by IPv6 are refused/],
    [
      "(said, not refused) no IPv4",
      { OUTRIGGER_LISTEN: "[2001:db8::1]:8080" },
      {},
      /^clients that come by IPv4/,
    ],
    [
      "(said, not refused) a sidecar that is root",
      { ...egress, OUTRIGGER_LISTEN: "[::]:1" },
      { egressPorts: [80], sidecarUid: 0 },
      /^nothing of what runs as root/,
    ],
  ] as const)
    it(what, () => assert.match(refusal({ ...env }, wanted), said));

  it("nothing, where ports and user are right", () => {
    assert.equal(refusal({ OUTRIGGER_LISTEN: "[::]:8080" }), "");
    assert.equal(refusal({ ...egress, OUTRIGGER_LISTEN: "0.0.0.0:1,[::]:1" }, { egressPorts: [80] }), "");
    assert.equal(refusal({ OUTRIGGER_LISTEN: "[::]:8080" }, { port: 22, allowSsh: true }), "");
  });

  it("the node's own network, as far as a pod can tell", () => {
    const pod = {
      inKubernetes: true,
      interfaces: ["lo", "eth0"],
      addresses: ["10.1.2.3"],
      nodeAddress: "192.0.2.1",
      isBridge: () => false,
    };
    assert.equal(hostNetworkSign(pod), undefined);
    assert.match(hostNetworkSign({ ...pod, addresses: ["192.0.2.1"] }) ?? "", /192\.0\.2\.1 is the node's/);
    assert.match(hostNetworkSign({ ...pod, interfaces: ["lo", "cali0123"] }) ?? "", /cali0123/);
    assert.match(hostNetworkSign({ ...pod, isBridge: (name) => name === "eth0" }) ?? "", /eth0/);
    assert.equal(hostNetworkSign({ ...pod, inKubernetes: false, interfaces: ["docker0"] }), undefined);
  });

  it("what is no port, no user or no name, before anything is asked", async () => {
    for (const args of [
      ["--port", "80; flush ruleset"],
      ["--port", "0"],
      ["--to-port", "65536"],
      ["--egress-ports", "80,}"],
      ["--egress-ports", ""],
      ["--sidecar-uid", "root"],
      ["--service-uid", "-1"],
      ["--service", 'a"} flush ruleset'],
    ])
      assert.equal((await outrigger(["intercept", "install", ...args])).code, 2, args.join(" "));
  });

  it("a machine without nft", { skip: process.platform !== "linux" }, async () => {
    const { code, stdout } = await outrigger(["intercept", "install", "--dry-run"]);
    assert.equal(code, 0);
    assert.deepEqual(
      JSON.parse(stdout),
      JSON.parse(JSON.stringify(installation({ ...inbound, service: "default" }))),
    );
    assert.throws(
      () => findNft("/nowhere", []),
      /^InterceptError: nft is not installed: install the package nftables/,
    );
  });
});
