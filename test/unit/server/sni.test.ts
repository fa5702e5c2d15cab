// Certificates by name.
import assert from "node:assert/strict";
import { createSecureContext } from "node:tls";
import { test } from "node:test";
import { CertificatesByName } from "../../../src/server/sni.ts";
import { makeAuthority } from "../../plugins/auth/authority.ts";

test("the first certificate that has a name is its own, an exact name before a wildcard", () => {
  const authority = makeAuthority();
  try {
    const [wild, exact, later] = [
      "DNS:*.Shop.example,URI:spiffe://shop.example/a",
      "DNS:a.shop.example,IP:127.0.0.1",
      "DNS:a.shop.example,DNS:later.example",
    ].map((names, index) => {
      const { cert } = authority.issue(String(index), names);
      return [cert, createSecureContext({})] as const;
    }) as [readonly [string, object], readonly [string, object], readonly [string, object]];
    const names = new CertificatesByName([wild, exact, later] as ConstructorParameters<
      typeof CertificatesByName
    >[0]);
    const found = (host: string) =>
      [wild, exact, later].findIndex(([, context]) => context === names.get(host));
    assert.deepEqual(["a.shop.example", "B.shop.example", "later.example"].map(found), [1, 0, 2]);
    for (const host of ["shop.example", "x.b.shop.example", ".shop.example", "", "127.0.0.1", "example"])
      assert.equal(names.get(host), undefined, host);
  } finally {
    authority.close();
  }
});
