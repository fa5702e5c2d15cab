// Certificates on revocation lists: matched by issuer and serial number, anywhere in a chain.
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { after, test } from "node:test";
import { chainOf, Revocations } from "../../../src/tls/revocations.ts";
import { type Issued, makeAuthority } from "../../plugins/auth/authority.ts";

const [authority, other] = [makeAuthority(), makeAuthority("another")];
after(() => [authority, other].forEach((each) => each.close()));
const der = ({ cert }: Pick<Issued, "cert">): Buffer => new X509Certificate(cert).raw;

test("a certificate is named by its issuer's list alone, and by any certificate that vouches for it", () => {
  const [leaf, middle] = [
    authority.issue("leaf", ""),
    authority.issue("middle", "", "basicConstraints=CA:TRUE"),
  ];
  const chain = [der(leaf), der(middle), der(authority)];
  const named = (...lists: string[]): boolean => new Revocations(lists).names(chain);
  assert.equal(named(), false);
  assert.equal(named(authority.revoke(), other.revoke()), false);
  assert.equal(named(authority.revoke(leaf)), true);
  assert.equal(named(other.revoke(), authority.revoke(middle)), true);
  assert.equal(named(authority.revoke(authority.issue("next", ""))), false);
  assert.equal(named(other.revoke(leaf)), false, "a number that another authority has given, too");
  assert.throws(() => named("-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----"), RangeError);
});

test("an authority that is known here need not be sent to be one that is named", () => {
  const [leaf, middle] = [
    authority.issue("leaf", ""),
    authority.issue("another", "", "basicConstraints=CA:TRUE"),
  ];
  const below = other.issue("below", "");
  const named = (known: readonly Pick<Issued, "cert">[], ...lists: string[]): boolean =>
    new Revocations(lists, known.map(der)).names([der(below)]);
  assert.equal(named([authority, middle], authority.revoke(leaf)), false);
  assert.equal(named([authority, middle], authority.revoke(middle)), true);
  assert.equal(
    named([authority, middle, other], authority.revoke(middle)),
    false,
    "another vouches for it, too",
  );
});

test("what a client sends besides hides nothing", () => {
  const raws = Array.from({ length: 40 }, (_, at) => Buffer.from([at]));
  const first = raws.reduceRight<object>((issuerCertificate, raw) => ({ raw, issuerCertificate }), {
    raw: Buffer.from("last"),
  });
  assert.equal(chainOf(first as X509Certificate).length, 41);
});
