// TLS to upstreams as the settings have it: authorities, our own certificate, and their renewal.
import { readFileSync } from "node:fs";
import { createSecureContext, type SecureContextOptions } from "node:tls";
import type { Config } from "../config/config.ts";
import type { UpstreamTrust } from "../routing/held-upstreams.ts";
import type { Telemetry } from "../telemetry/process.ts";
import { expiryGauge, expiryOf, watchFiles } from "../tls/watched-files.ts";
import { RenewedCredentials } from "../upstream/renewed-credentials.ts";

export interface LiveUpstreamTls extends UpstreamTrust {
  /** Looks for renewals no more. */
  close(): void;
}

interface Content extends Pick<SecureContextOptions, "ca" | "key"> {
  readonly cert?: string;
}

/** @throws Error when a file cannot be read, or the key is not the certificate's */
export function createUpstreamTls(config: Config, telemetry: Telemetry): LiveUpstreamTls {
  const current = readFiles(config);
  const credentials = new RenewedCredentials(createSecureContext(current));
  return {
    checked: config.upstreamCa !== undefined,
    credentials,
    servername: config.upstreamServername,
    close: renew(config, current, credentials, telemetry),
  };
}

/** @returns stops looking for renewals */
function renew(
  config: Config,
  current: Content,
  credentials: RenewedCredentials,
  { logger, metrics }: Telemetry,
): () => void {
  if (config.upstreamCa === undefined && config.upstreamCert === undefined) return () => {};
  const expiry = config.upstreamCert === undefined ? undefined : expiryGauge(metrics, "upstream");
  const observe = ({ cert = "" }: Content): void => expiry?.set(expiryOf([cert]));
  observe(current);
  const watched = {
    of: "upstream",
    read: () => readFiles(config),
    fingerprint: (content: Content) => JSON.stringify(content),
    apply(content: Content) {
      credentials.use(createSecureContext(content));
      observe(content);
    },
  };
  return watchFiles(current, watched, logger);
}

function readFiles({ upstreamCa, upstreamCert, upstreamKey }: Config): Content {
  return {
    ...(upstreamCa === undefined ? {} : { ca: readFileSync(upstreamCa, "utf8") }),
    ...(upstreamCert === undefined ? {} : { cert: readFileSync(upstreamCert, "utf8") }),
    ...(upstreamKey === undefined ? {} : { key: readFileSync(upstreamKey, "utf8") }),
  };
}
