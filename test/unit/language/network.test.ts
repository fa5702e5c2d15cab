// The network that an address belongs to, and the grammar of networks.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  compileNetworks,
  network as networkSchema,
  networkReader,
  parseNetwork,
} from "../../../src/language/network.ts";

test("an IPv6 address is its network, an IPv4 address itself, however either is written", () => {
  const read = networkReader(64);
  for (const [address, network] of [
    ["2001:db8::1", "2001:db8::/64"],
    ["2001:DB8:0:0:ffff::1", "2001:db8::/64"],
    ["2001:db8:0:1::1", "2001:db8:0:1::/64"],
    ["::1", "::/64"],
    ["::ffff:192.0.2.7", "192.0.2.7"],
    ["192.0.2.7", "192.0.2.7"],
    ["unix", "unix"],
    ["fe80::1%eth0:1", "fe80::1%eth0:1"],
    ["no:address", "no:address"],
  ] as const) {
    assert.equal(read(address), network, address);
    assert.equal(read(address), network, `${address}, asked again`);
  }
});

test("readers of other lengths do not share what they know", () => {
  assert.equal(networkReader(48)("2001:db8:0:1::1"), "2001:db8::/48");
  assert.equal(networkReader(128)("2001:db8:0:1::1"), "2001:db8:0:1::1/128");
  assert.equal(networkReader(60)("2001:db8:0:1f::1"), "2001:db8:0:10::/60");
});

test("networks are read by one strict grammar", () => {
  for (const [text, network] of [
    ["10.0.0.0/8", { address: "10.0.0.0", prefix: 8, family: "ipv4" }],
    ["192.0.2.7", { address: "192.0.2.7", prefix: 32, family: "ipv4" }],
    ["FD00::/8", { address: "fd00::", prefix: 8, family: "ipv6" }],
    ["::ffff:10.0.0.0/104", { address: "10.0.0.0", prefix: 8, family: "ipv4" }],
    ["::ffff:10.0.0.0/95", undefined],
    // Octal, hexadecimal and short forms are other addresses to other readers.
    ["010.0.0.0/8", undefined],
    ["0x0a.0.0.0/8", undefined],
    ["10/8", undefined],
    ["10.0.0.0/08", undefined],
    ["10.0.0.0/33", undefined],
    ["10.0.0.0/", undefined],
    ["fe80::1%eth0", undefined],
    ["fe80::%eth0/64", undefined],
    ["", undefined],
  ] as const) {
    assert.deepEqual(parseNetwork(text), network, text);
    assert.equal(networkSchema.safeParse(text).success, network !== undefined, text);
  }
});

test("an address is in a network however either is written", () => {
  const holds = compileNetworks(["10.0.0.0/8", "::ffff:192.0.2.0/120", "2001:db8::/32"]);
  for (const inside of ["10.1.2.3", "::ffff:10.1.2.3", "192.0.2.9", "::ffff:192.0.2.9", "2001:DB8::1"])
    assert.ok(holds(inside), inside);
  for (const outside of ["11.0.0.1", "192.0.3.1", "2001:db9::1", "2001:db8::1%eth0", "unix", ""])
    assert.ok(!holds(outside), outside);
});
