// Creates TLS to upstreams from the settings: certificate authorities, the sidecar's own certificate, and their
// renewal.
import type { Config } from "../config/config.ts";
import type { UpstreamTrust } from "../routing/held-upstreams.ts";
import type { Telemetry } from "../telemetry/process.ts";
import { type RenewedTls, renewTls } from "./renewed-tls.ts";

export type LiveUpstreamTls = UpstreamTrust & RenewedTls;

/** @throws Error when a file cannot be read, or key and certificate do not belong together */
export function createUpstreamTls(config: Config, telemetry: Telemetry): LiveUpstreamTls {
  const { upstreamCa: ca, upstreamCert: cert, upstreamKey: key, upstreamServername: servername } = config;
  return { ...renewTls("upstream", { ca, cert, key }, telemetry), checked: ca !== undefined, servername };
}
