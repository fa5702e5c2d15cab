// The settings of TLS to upstreams.
import { isIP } from "node:net";
import { FormatError } from "./formats.ts";
import { parseCertificateFile, parseKeyFile } from "./pem.ts";
import { optional, type Setting } from "./setting.ts";

function parseServername(text: string): string {
  if (/^[A-Za-z0-9.-]{1,253}$/.test(text) && isIP(text) === 0) return text;
  throw new FormatError("must be a host name");
}

export const upstreamTlsSettings = {
  upstreamCa: optional(
    "OUTRIGGER_UPSTREAM_CA",
    parseCertificateFile,
    "CA certificates (PEM file) for https upstreams; unset: the system's, and none is checked on loopback",
  ),
  upstreamCert: optional(
    "OUTRIGGER_UPSTREAM_CERT",
    parseCertificateFile,
    "Certificate chain (PEM file) shown to https upstreams that ask for one",
  ),
  upstreamKey: optional("OUTRIGGER_UPSTREAM_KEY", parseKeyFile, "Private key (PEM file) of that certificate"),
  upstreamServername: optional(
    "OUTRIGGER_UPSTREAM_SERVERNAME",
    parseServername,
    "Name that the certificate of OUTRIGGER_UPSTREAM must be made out to, when it is not its host",
  ),
} as const satisfies Record<string, Setting<unknown>>;
