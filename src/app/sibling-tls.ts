// Provides the TLS identity that sidecars of one service share: their SVID, which has the same id in all of them. By it
// a sidecar recognises its siblings and proves itself to them.
import { createSecureContext } from "node:tls";
import { contextOf, type SiblingTls } from "../admin/siblings.ts";
import type { Config } from "../config/config.ts";
import type { Telemetry } from "../telemetry/process.ts";
import { readCertificates, readPair } from "../tls/read-files.ts";
import { readSvid, readSvidChain } from "../tls/svid.ts";
import { watchFiles } from "../tls/watched-files.ts";

export interface LiveSiblingTls {
  /** The current identity. */
  readonly current: () => SiblingTls;
  /** Stops looking for renewals. */
  close(): void;
}

/** @returns undefined without SPIFFE @throws Error when a file cannot be read, or the files do not fit together */
export function createSiblingTls(config: Config, { logger }: Telemetry): LiveSiblingTls | undefined {
  const { spiffeCert: cert, spiffeKey: key, spiffeBundle: bundle } = config;
  if (cert === undefined || key === undefined || bundle === undefined) return undefined;
  const read = (): SiblingTls => siblingTlsOf({ cert, key, bundle });
  let inForce = read();
  const { trustDomain } = readSvidChain(inForce.cert) ?? {};
  const watched = {
    of: "admin",
    read() {
      const content = read();
      if (readSvidChain(content.cert)?.trustDomain === trustDomain) return content;
      throw new Error(`${cert} is no SVID of the trust domain ${trustDomain}`);
    },
    fingerprint: (content: SiblingTls) => JSON.stringify(content),
    apply: (content: SiblingTls) => void (inForce = content),
  };
  return { current: () => inForce, close: watchFiles(inForce, watched, logger) };
}

function siblingTlsOf(files: { cert: string; key: string; bundle: string }): SiblingTls {
  const pair = readPair(files);
  const id = readSvidChain(pair.cert)?.text;
  if (id === undefined) throw new Error(`${files.cert} is no SVID`);
  const content: SiblingTls = {
    id,
    ...pair,
    ca: readCertificates(files.bundle),
    endOf(certificate) {
      const svid = readSvid(certificate);
      return svid?.text === id ? svid.endsMs : undefined;
    },
  };
  createSecureContext(contextOf(content));
  return content;
}
