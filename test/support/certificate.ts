// Makes a self-signed certificate for localhost and 127.0.0.1 with the openssl program (openssl-3.x, Debian package).
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Certificate {
  /** PEM. */
  readonly key: string;
  /** PEM; also the certificate authority that a client has to trust. */
  readonly cert: string;
}

export function makeCertificate(days = 2): Certificate {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-certificate-"));
  try {
    const key = join(folder, "key.pem");
    const cert = join(folder, "cert.pem");
    const names = "subjectAltName=DNS:localhost,IP:127.0.0.1";
    execFileSync(
      "openssl",
      [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        String(days),
      ].concat(["-subj", "/CN=localhost", "-addext", names, "-keyout", key, "-out", cert]),
      { stdio: "pipe" },
    );
    return { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
