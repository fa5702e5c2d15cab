// The network that an address stands for.
import assert from "node:assert/strict";
import { test } from "node:test";
import { networkReader } from "../../../src/language/network.ts";

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
