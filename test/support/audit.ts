// Audit trails for tests: a signing key, a folder, and a reader of the records in it.
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AuditKey, type AuditJwk } from "../../src/audit/key.ts";

export const auditJwk = (): AuditJwk =>
  generateKeyPairSync("ed25519").privateKey.export({ format: "jwk" }) as AuditJwk;

export interface AuditPlace extends Disposable {
  readonly folder: string;
  readonly file: string;
  readonly key: AuditKey;
  /** Settings of a sidecar that writes this trail. */
  readonly env: Readonly<Record<string, string>>;
  /** Records of the trail's file, or of the file with that suffix, parsed. */
  records(suffix?: string): Record<string, unknown>[];
}

export function auditPlace(): AuditPlace {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-audit-"));
  const file = join(folder, "audit.jsonl");
  const jwk = auditJwk();
  return {
    folder,
    file,
    key: new AuditKey(jwk),
    env: { OUTRIGGER_AUDIT_KEY: JSON.stringify(jwk), OUTRIGGER_AUDIT_FILE: file },
    records: (suffix = "") =>
      readFileSync(`${file}${suffix}`, "utf8")
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line) as Record<string, unknown>),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}
