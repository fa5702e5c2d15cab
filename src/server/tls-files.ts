// Certificate, key and client authorities of the listener, read again when the files change: certificates are renewed
// every few weeks, and connections must not notice.
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import type { ServerOptions } from "node:https";
import type { Logger } from "../plugin-api/contract.ts";

export interface TlsFiles {
  readonly cert: string;
  readonly key: string;
  /** Client certificates are asked for, and checked against these, when given. */
  readonly clientCa: string | undefined;
}

/** @throws Error when a file cannot be read */
export function readTlsFiles({ cert, key, clientCa }: TlsFiles): ServerOptions {
  return {
    cert: readFileSync(cert),
    key: readFileSync(key),
    minVersion: "TLSv1.2",
    // A client without a certificate still connects: whether it needs one is the policy's to say.
    ...(clientCa === undefined
      ? {}
      : { ca: readFileSync(clientCa), requestCert: true, rejectUnauthorized: false }),
  };
}

const pemCertificate = /-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----/g;

/** @returns when the first certificate of the chain is over, in seconds since 1970; 0 when none can be read */
export function expiryOf({ cert }: ServerOptions): number {
  try {
    const ends = (String(cert).match(pemCertificate) ?? []).map((pem) =>
      new X509Certificate(pem).validToDate.getTime(),
    );
    return ends.length === 0 ? 0 : Math.min(...ends) / 1000;
  } catch {
    return 0; // TLS took it all the same: the alert on what is over brings somebody to look at it.
  }
}

const everyMs = 5_000;

/**
 * Looks for changes every few seconds: renewals replace symbolic links and folders in ways that file watchers miss.
 * @returns stops looking
 */
export function watchTlsFiles(
  files: TlsFiles,
  logger: Logger,
  apply: (options: ServerOptions) => void,
): () => void {
  let current = fingerprint(readTlsFiles(files));
  const look = (): void => {
    try {
      const options = readTlsFiles(files);
      const next = fingerprint(options);
      if (next === current) return;
      apply(options);
      current = next;
      logger.info({ cert: files.cert }, "certificate reloaded");
    } catch (error) {
      // A pair that does not fit yet, or a file half written: the old one serves, the next look tries again.
      logger.warn({ cert: files.cert, err: error }, "certificate could not be reloaded; the old one serves");
    }
  };
  const timer = setInterval(look, everyMs);
  timer.unref();
  process.on("SIGHUP", look);
  return () => {
    clearInterval(timer);
    process.off("SIGHUP", look);
  };
}

function fingerprint({ cert, key, ca }: ServerOptions): string {
  return [cert, key, ca].map(String).join("\n");
}
