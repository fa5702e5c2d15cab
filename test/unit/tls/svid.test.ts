// Which certificates are SVIDs.
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { after, test } from "node:test";
import { elementsIn } from "../../../src/tls/der.ts";
import { readSvid, readSvidChain } from "../../../src/tls/svid.ts";
import { makeAuthority } from "../../plugins/auth/authority.ts";

const authority = makeAuthority();
after(() => authority.close());
let issued = 0;
const of = (names: string, ...extensions: string[]): X509Certificate => {
  issued += 1;
  return new X509Certificate(authority.issue(String(issued), names, ...extensions).cert);
};
const id = "URI:spiffe://shop.example/cart";

test("a leaf with one URI, whatever else it is called", () => {
  for (const certificate of [
    of(id),
    of(`${id},DNS:cart,IP:127.0.0.1,email:a@b.example`, "keyUsage=critical,digitalSignature,keyEncipherment"),
  ]) {
    const endsMs = certificate.validToDate.getTime();
    const expected = { text: "spiffe://shop.example/cart", trustDomain: "shop.example", endsMs };
    assert.deepEqual(readSvid(certificate), expected);
    assert.deepEqual(readSvidChain(`${certificate.toString()}${authority.cert}`), expected);
  }
  assert.equal(readSvidChain(authority.cert), undefined);
  assert.equal(readSvidChain("no PEM"), undefined);
});

for (const [what, names, ...extensions] of [
  ["none", ""],
  ["a DNS name that looks like one", "DNS:spiffe"],
  ["two SPIFFE ids", `${id},URI:spiffe://shop.example/admin`],
  ["the same id twice", `${id},${id}`],
  ["an id beside another URI", `URI:https://shop.example/,${id}`],
  ["no path", "URI:spiffe://shop.example"],
  ["an encoded path", "URI:spiffe://shop.example/c%61rt"],
  ["an authority", id, "basicConstraints=critical,CA:TRUE"],
  ["may sign certificates", id, "keyUsage=critical,digitalSignature,keyCertSign"],
  ["may sign lists", id, "keyUsage=critical,digitalSignature,cRLSign"],
] as const)
  test(`no SVID: ${what}`, () => assert.equal(readSvid(of(names, ...extensions)), undefined));

test("DER that is cut off, or of no definite length, is none", () => {
  const { raw } = of(id);
  assert.equal(elementsIn(raw).length, 1);
  for (const bytes of [
    raw.subarray(0, -1),
    [0x30],
    [0x30, 0x80, 0, 0],
    [0x30, 0x85, 0, 0, 0, 0, 1],
    [0x1f, 1, 0],
  ])
    assert.throws(() => elementsIn(Buffer.from(bytes)), RangeError);
});
