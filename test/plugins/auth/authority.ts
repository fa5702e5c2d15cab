// A certificate authority with a server's and clients' certificates, made with the openssl program.
import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Issued {
  /** PEM, and where it lies. */
  readonly key: string;
  readonly cert: string;
  readonly keyFile: string;
  readonly certFile: string;
}

export interface Authority {
  readonly certFile: string;
  readonly cert: string;
  /** @param names as openssl has them: `URI:spiffe://a/b,DNS:c`; "" = none @param extensions `basicConstraints=CA:TRUE` */
  issue(name: string, names: string, ...extensions: string[]): Issued;
  /** Likewise, and its time is over. */
  issueOver(name: string, names: string): Issued;
  /** Likewise, signed by somebody to whom this one issued, authority or not. */
  issueBy(issuer: Issued, name: string, names: string, ...extensions: string[]): Issued;
  /** @returns a revocation list (PEM) that names these, for one day */
  revoke(...certificates: readonly Issued[]): string;
  close(): void;
}

const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

const openssl = (...args: string[]): void => void execFileSync("openssl", args, { stdio: "pipe" });

export function makeAuthority(name = "test authority"): Authority {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-authority-"));
  const at = (file: string): string => join(folder, file);
  openssl(
    "req",
    "-x509",
    ...curve,
    "-days",
    "2",
    "-subj",
    `/CN=${name}`,
    "-keyout",
    at("ca.key"),
    "-out",
    at("ca.pem"),
  );
  const own = { certFile: at("ca.pem"), keyFile: at("ca.key") };
  function issueFor(days: string, issuer: Issued, name: string, names: string, ...more: string[]): Issued {
    const [keyFile, certFile, request, extensions] = ["key", "pem", "csr", "ext"].map((ending) =>
      at(`${name}.${ending}`),
    ) as [string, string, string, string];
    openssl("req", ...curve, "-subj", `/CN=${name}`, "-keyout", keyFile, "-out", request);
    const all = names === "" ? more : [`subjectAltName=${names}`, ...more];
    writeFileSync(extensions, all.map((line) => `${line}\n`).join(""));
    const authority = ["-CA", issuer.certFile, "-CAkey", issuer.keyFile, "-CAcreateserial"];
    openssl(
      "x509",
      "-req",
      "-in",
      request,
      ...authority,
      "-days",
      days,
      "-extfile",
      extensions,
      "-out",
      certFile,
    );
    return { key: readFileSync(keyFile, "utf8"), cert: readFileSync(certFile, "utf8"), keyFile, certFile };
  }
  return {
    certFile: at("ca.pem"),
    cert: readFileSync(at("ca.pem"), "utf8"),
    issue(name, names, ...more) {
      return this.issueBy({ ...own, cert: "", key: "" }, name, names, ...more);
    },
    issueOver: (name, names) => issueFor("-1", { ...own, cert: "", key: "" }, name, names),
    issueBy: (issuer, name, names, ...more) => issueFor("2", issuer, name, names, ...more),
    revoke(...certificates) {
      const serials = certificates.map(({ cert }) => new X509Certificate(cert).serialNumber);
      const rows = serials.map((serial) => `R\t491231235959Z\t250101000000Z\t${serial}\tunknown\t/CN=x\n`);
      writeFileSync(at("index.txt"), rows.join(""));
      writeFileSync(
        at("ca.conf"),
        `[ca]\ndefault_ca=d\n[d]\ndatabase=${at("index.txt")}\ndefault_md=sha256\ndefault_crl_days=1\n`,
      );
      const authority = ["-cert", at("ca.pem"), "-keyfile", at("ca.key")];
      openssl("ca", "-gencrl", "-config", at("ca.conf"), ...authority, "-out", at("crl.pem"));
      return readFileSync(at("crl.pem"), "utf8");
    },
    close: () => rmSync(folder, { recursive: true, force: true }),
  };
}
