// Reads the certificates for outgoing TLS from files: what the sidecar shows and whom it trusts. Renews them while it
// runs.
import { createSecureContext } from "node:tls";
import type { Telemetry } from "../telemetry/process.ts";
import { readCertificates, readPair } from "../tls/read-files.ts";
import { expiryGauge, expiryOf, watchFiles } from "../tls/watched-files.ts";
import { type Credentials, RenewedCredentials } from "../upstream/renewed-credentials.ts";

export interface CredentialFiles {
  /** undefined = the system's authorities. A function reads the authorities itself; an empty list trusts none. */
  readonly ca: string | (() => readonly string[]) | undefined;
  /** undefined = the sidecar shows no certificate of its own. */
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

interface Content {
  readonly ca?: string | string[];
  readonly cert?: string;
  readonly key?: string;
}

export interface RenewedTls {
  readonly credentials: Credentials;
  /** Stops looking for renewals. */
  close(): void;
}

/**
 * @param of name for the log and the expiry metric
 * @param check throws when a well-formed chain must not be shown
 * @throws Error when a file cannot be read or is incomplete, or key and certificate do not belong together
 */
export function renewTls(
  of: string,
  files: CredentialFiles,
  { logger, metrics }: Telemetry,
  check: (chain: string) => void = () => {},
): RenewedTls {
  const read = (): Content => {
    const content = readFiles(files);
    if (content.cert !== undefined) check(content.cert);
    return content;
  };
  if (files.ca === undefined && files.cert === undefined)
    return { credentials: new RenewedCredentials(undefined), close: () => {} };
  const current = read();
  const credentials = new RenewedCredentials(createSecureContext(current));
  const expiry = files.cert === undefined ? undefined : expiryGauge(metrics, of);
  const observe = ({ cert = "" }: Content): void => expiry?.set(expiryOf([cert]));
  observe(current);
  const watched = {
    of,
    read,
    fingerprint: (content: Content) => JSON.stringify(content),
    apply(content: Content) {
      credentials.use(createSecureContext(content));
      observe(content);
    },
  };
  return { credentials, close: watchFiles(current, watched, logger) };
}

function readFiles({ ca, cert, key }: CredentialFiles): Content {
  return {
    ...(ca === undefined ? {} : { ca: typeof ca === "string" ? readCertificates(ca) : [...ca()] }),
    ...(cert === undefined || key === undefined ? {} : readPair({ cert, key })),
  };
}
