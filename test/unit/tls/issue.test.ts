// Certificates issued here, checked by OpenSSL and Node's TLS.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { issueCertificate } from "../../../src/tls/issue.ts";

const names = ["injector.outrigger-system.svc", "injector.outrigger-system.svc.cluster.local"];
const nowMs = Date.UTC(2026, 10, 29, 12);

test("OpenSSL takes the chain for a server of that name, strictly, and for no other", () => {
  const { ca, cert } = issueCertificate({ names, nowMs: Date.now(), days: 90 });
  const folder = mkdtempSync(join(tmpdir(), "outrigger-issue-"));
  try {
    writeFileSync(join(folder, "ca.pem"), ca);
    writeFileSync(join(folder, "cert.pem"), cert);
    const verify = (host: string): string =>
      execFileSync(
        "openssl",
        ["verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", host].concat([
          "-CAfile",
          join(folder, "ca.pem"),
          join(folder, "cert.pem"),
        ]),
        { encoding: "utf8", stdio: "pipe" },
      );
    for (const each of names) assert.match(verify(each), /: OK$/m);
    assert.throws(() => verify("other.outrigger-system.svc"), /hostname mismatch/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("each pair has its own authority, key and serial number", () => {
  const [one, two] = [
    issueCertificate({ names, nowMs, days: 90 }),
    issueCertificate({ names, nowMs, days: 90 }),
  ];
  const [a, b] = [new X509Certificate(one.cert), new X509Certificate(two.cert)];
  assert.ok(a.checkPrivateKey(createPrivateKey(one.key)));
  assert.ok(!a.checkPrivateKey(createPrivateKey(two.key)));
  assert.ok(a.checkIssued(new X509Certificate(one.ca)) && !a.checkIssued(new X509Certificate(two.ca)));
  assert.notEqual(a.serialNumber, b.serialNumber);
  assert.ok(!a.ca && new X509Certificate(one.ca).ca);
});

test("it begins an hour early, for clocks that differ, and ends when it should, in any century", () => {
  for (const [from, days, ends] of [
    [nowMs, 90, Date.UTC(2027, 1, 27, 12)],
    [Date.UTC(2049, 11, 30), 5, Date.UTC(2050, 0, 4)],
  ] as const) {
    const { ca, cert } = issueCertificate({ names, nowMs: from, days });
    for (const pem of [ca, cert]) {
      const { validFromDate, validToDate } = new X509Certificate(pem);
      assert.deepEqual([validFromDate.getTime(), validToDate.getTime()], [from - 3_600_000, ends]);
    }
  }
});
