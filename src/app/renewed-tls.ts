// What TLS to others shows and believes, read from files and renewed while connections are made.
import { createSecureContext } from "node:tls";
import type { Telemetry } from "../telemetry/process.ts";
import { readCertificates, readPair } from "../tls/read-files.ts";
import { expiryGauge, expiryOf, watchFiles } from "../tls/watched-files.ts";
import { type Credentials, RenewedCredentials } from "../upstream/renewed-credentials.ts";

export interface CredentialFiles {
  /** Undefined = the system's authorities; a function reads them itself, and none are none. */
  readonly ca: string | (() => readonly string[]) | undefined;
  /** Undefined = none of our own is shown. */
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
  /** Looks for renewals no more. */
  close(): void;
}

/**
 * @param of for the log and the metric of expiry
 * @param check throws where a chain, though well-formed, is not to be shown
 * @throws Error when a file cannot be read or is not whole, or the key is not the certificate's
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
