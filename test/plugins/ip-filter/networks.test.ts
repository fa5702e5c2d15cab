// Addresses and sets of networks of the ip-filter plugin, compared with Node's own.
import assert from "node:assert/strict";
import { isIP, isIPv4 } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import ipaddr from "ipaddr.js";
import { readAddress } from "../../../plugins/ip-filter/address.ts";
import { networkSet, NetworkSetBuilder } from "../../../plugins/ip-filter/network-set.ts";
import { compileNetworks, parseNetwork } from "../../../src/language/network.ts";

const words = new Uint32Array(4);

/** The bytes, or undefined. */
function read(text: string): number[] | undefined {
  const family = readAddress(text, words);
  if (family === 0) return undefined;
  return [...words.subarray(0, family === 4 ? 1 : 4)].flatMap((word) => [
    word >>> 24,
    (word >>> 16) & 255,
    (word >>> 8) & 255,
    word & 255,
  ]);
}

function expected(text: string): number[] | undefined {
  if (isIP(text) === 0 || text.includes("%")) return undefined;
  return ipaddr.process(isIPv4(text) ? text : canonical(text)).toByteArray();
}

/** Without dots at the end: ipaddr.js takes the deprecated `::1.2.3.4` (RFC 4291 section 2.5.5.1) for a mapped address. */
function canonical(ipv6: string): string {
  return new URL(`http://[${ipv6}]`).hostname.slice(1, -1);
}

const group = fc.constantFrom("0", "1", "ffff", "FFFF", "00a", "12345", "g", "", "1.2.3.4", "255.0.0.1");
const nearlyIpv6 = fc
  .array(fc.tuple(group, fc.constantFrom(":", ":", "::", ".")), { maxLength: 9 })
  .map((parts) => parts.flat().join("").replace(/[:.]$/, ""));
const octet = fc.constantFrom("0", "1", "01", "255", "256", "", "a", "-1", "192");
const nearlyIpv4 = fc.array(octet, { minLength: 3, maxLength: 5 }).map((parts) => parts.join("."));
const address = fc.oneof(
  fc.ipV4(),
  fc.ipV6().map(canonical),
  fc.ipV4().map((text) => `::ffff:${text}`),
);

test("reads exactly what is an address, as it is", () => {
  const some = [
    "",
    ":",
    "::",
    ":::",
    "1::",
    "::1",
    "1:2:3:4:5:6:7::",
    "1:2:3:4:5:6:7:8::",
    "::1%eth0",
    "unix",
    "1.2.3.4 ",
  ];
  for (const text of some) assert.deepEqual(read(text), expected(text), text);
  fc.assert(
    fc.property(fc.oneof(address, nearlyIpv6, nearlyIpv4), (text) => {
      assert.deepEqual(read(text), expected(text), text);
    }),
    { numRuns: 3_000 },
  );
});

test("takes as networks what a policy takes", () => {
  const prefix = fc.constantFrom(
    "",
    "/0",
    "/8",
    "/32",
    "/33",
    "/96",
    "/95",
    "/128",
    "/129",
    "/08",
    "/",
    "/a",
    "/-1",
  );
  fc.assert(
    fc.property(fc.oneof(address, nearlyIpv4), prefix, (text, suffix) => {
      assert.equal(new NetworkSetBuilder().add(text + suffix), parseNetwork(text + suffix) !== undefined);
    }),
    { numRuns: 200 },
  );
});

test("has exactly the addresses of its networks, whatever lies within what", () => {
  // Few values, so that networks meet.
  const near4 = fc
    .tuple(fc.constantFrom(10, 11, 255), fc.nat(3), fc.constantFrom(0, 128, 255))
    .map(([a, b, c]) => `${a}.${b}.${c}.${c}`);
  const near6 = fc
    .tuple(
      fc.constantFrom("2001", "ffff", "0"),
      fc.constantFrom("db8", "0"),
      fc.constantFrom("0", "1", "ffff"),
    )
    .map(([a, b, c]) => `${a}:${b}:${c}:0:${c}:0:0:${c}`);
  const near = fc.oneof(
    near4,
    near6,
    near4.map((text) => `::ffff:${text}`),
  );
  const network = fc.tuple(near, fc.nat(128)).map(([text, bits]) => {
    const most = isIPv4(text) ? 32 : 128;
    return `${text}/${text.startsWith("::ffff:") ? 96 + (bits % 33) : bits % (most + 1)}`;
  });
  fc.assert(
    fc.property(
      fc.array(network, { maxLength: 12 }),
      fc.array(near, { minLength: 1, maxLength: 12 }),
      (texts, asked) => {
        const set = networkSet(texts);
        const node = compileNetworks(texts);
        for (const text of asked) {
          const plain = ipaddr.process(text).toString();
          assert.equal(
            set.has(readAddress(text, words), words),
            node(plain),
            `${text} in ${texts.join(" ")}`,
          );
        }
      },
    ),
    { numRuns: 200 },
  );
});

test("100,000 networks are found within a microsecond each", () => {
  const builder = new NetworkSetBuilder();
  for (let i = 0; i < 50_000; i += 1) {
    assert.ok(builder.add(`${(i >> 8) & 255}.${i & 255}.${i % 7}.0/24`));
    assert.ok(builder.add(`2001:db8:${i.toString(16)}::/64`));
  }
  const set = builder.build();
  const asked = ["10.1.5.9", "2001:db8:12ab::7", "203.0.113.9", "fe80::1"];
  let best = Infinity;
  for (let round = 0; round < 10; round += 1) {
    const start = process.hrtime.bigint();
    for (let i = 0; i < 20_000; i += 1) set.has(readAddress(asked[i & 3] as string, words), words);
    best = Math.min(best, Number(process.hrtime.bigint() - start) / 20_000);
  }
  // A microsecond is the goal; here other tests run beside it.
  assert.ok(best < 3_000, `${best} ns`);
});
