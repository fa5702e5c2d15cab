// Checks when the certificates of the settings end: those that the sidecar shows, and those against which it checks
// others.
import { X509Certificate } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../../config/config.ts";
import type { CheckFinding } from "../../plugin-api/checks.ts";
import { certificatesIn } from "../../tls/pem.ts";
import { checkOf } from "./finding.ts";

const dayMs = 86_400_000;
const soonMs = 21 * dayMs;

export function checkCertificates(config: Config, nowMs: number): CheckFinding[] {
  const named = [
    ...(config.tlsCert ?? []).map((path) => ["OUTRIGGER_TLS_CERT", path] as const),
    ["OUTRIGGER_TLS_CLIENT_CA", config.tlsClientCa],
    ["OUTRIGGER_SPIFFE_CERT", config.spiffeCert],
    ["OUTRIGGER_SPIFFE_BUNDLE", config.spiffeBundle],
    ...federatedFiles(config.spiffeFederatedBundles),
    ["OUTRIGGER_UPSTREAM_CA", config.upstreamCa],
    ["OUTRIGGER_UPSTREAM_CERT", config.upstreamCert],
    ["OUTRIGGER_REDIS_CERT", config.redisCert],
    ["OUTRIGGER_REDIS_CA", config.redisCa],
  ] as const;
  return named.flatMap(([name, path]) => (path === undefined ? [] : [checkFile(name, path, nowMs)]));
}

function federatedFiles(folder: string | undefined): (readonly [string, string])[] {
  if (folder === undefined) return [];
  const setting = "OUTRIGGER_SPIFFE_FEDERATED_BUNDLES";
  try {
    const names = readdirSync(folder).filter((name) => name.endsWith(".pem"));
    return names.map((name) => [setting, join(folder, name)] as const);
  } catch {
    return [[setting, folder]]; // Reading it will fail and report why.
  }
}

function checkFile(name: string, path: string, nowMs: number): CheckFinding {
  const check = checkOf("certificate");
  try {
    const blocks = certificatesIn(readFileSync(path, "utf8"));
    // A chain ends with its first certificate to end. Authorities are independent of each other: one is left until the
    // last ends.
    const ends = blocks.map((block) => new X509Certificate(block)).map(({ validTo }) => Date.parse(validTo));
    const end = /_(?:CA|BUNDLES?)$/.test(name) ? Math.max(...ends) : Math.min(...ends);
    return expiryOf(`${name}: ${path}`, end, nowMs);
  } catch (error) {
    return check.fail(
      `${name}: ${path}: ${(error as NodeJS.ErrnoException).code ?? "cannot be read"}`,
      "mend the file",
    );
  }
}

/** @param end epoch milliseconds */
export function expiryOf(what: string, end: number, nowMs: number): CheckFinding {
  const check = checkOf("certificate");
  const when = new Date(end).toISOString().slice(0, 10);
  if (end <= nowMs)
    return check.fail(`${what} ended on ${when}`, "renew it; files are read again while it runs");
  const days = Math.floor((end - nowMs) / dayMs);
  if (end - nowMs < soonMs) return check.warn(`${what} ends on ${when}, in ${days} days`, "renew it");
  return check.ok(`${what} ends on ${when}, in ${days} days`);
}
