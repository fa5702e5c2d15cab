// The settings of the listener: its addresses, the proxies that it trusts, and its TLS.
import { integer, oneOf, parseListens, parseMode, parseTrustedPeers } from "./formats.ts";
import { parseCertificateFile, parseCertificateFiles, parseCrlFile, parseKeyFiles } from "./pem.ts";
import { optional, setting, type Setting } from "./setting.ts";
import { clientAddressFields } from "../language/field-sets.ts";

export const listenSettings = {
  listen: setting(
    "OUTRIGGER_LISTEN",
    "0.0.0.0:8080",
    parseListens,
    "Where clients connect: host:port, [ipv6]:port or unix:/path, several comma-separated",
  ),
  listenMode: optional(
    "OUTRIGGER_LISTEN_MODE",
    parseMode,
    "Mode of unix sockets where clients connect, in octal (0660); unset: by the umask",
  ),
  listenReusePort: setting(
    "OUTRIGGER_LISTEN_REUSE_PORT",
    "off",
    oneOf("off", "on"),
    "Whether several processes may listen on the ports (SO_REUSEPORT), of which the kernel gives each a part of the connections",
  ),
} as const satisfies Record<string, Setting<unknown>>;

export const listenerSettings = {
  listener: setting(
    "OUTRIGGER_LISTENER",
    "auto",
    oneOf("auto", "node", "own"),
    "What reads HTTP/1.1 of clients: auto and own = our own parser; node = Node's node:http",
  ),
  trustedProxies: setting(
    "OUTRIGGER_TRUSTED_PROXIES",
    "",
    parseTrustedPeers,
    "Networks (CIDR) of proxies whose forwarded fields are believed, comma-separated; unix: whoever comes by a unix socket",
  ),
  forwardedField: setting(
    "OUTRIGGER_FORWARDED_FIELD",
    "x-forwarded-for",
    oneOf(...clientAddressFields),
    "The one field that names the client's address behind them: x-forwarded-for, forwarded, x-real-ip, true-client-ip, cf-connecting-ip",
  ),
  trustedHops: setting(
    "OUTRIGGER_TRUSTED_HOPS",
    "0",
    integer(0, 32),
    "Number of proxies in front, the peer included, whatever their addresses; 0 = told by OUTRIGGER_TRUSTED_PROXIES",
  ),
  proxyProtocol: setting(
    "OUTRIGGER_PROXY_PROTOCOL",
    "off",
    oneOf("off", "accept"),
    "PROXY protocol; accept: connections from OUTRIGGER_TRUSTED_PROXIES must begin with its head (v1 or v2), which names the client",
  ),
  tlsCert: optional(
    "OUTRIGGER_TLS_CERT",
    parseCertificateFiles,
    "Certificate chain (PEM file) of the listener; several, comma-separated: by the host that clients name (SNI)",
  ),
  tlsKey: optional(
    "OUTRIGGER_TLS_KEY",
    parseKeyFiles,
    "Private key (PEM file) of that certificate, or of each in their order",
  ),
  tlsClientCa: optional(
    "OUTRIGGER_TLS_CLIENT_CA",
    parseCertificateFile,
    "CA certificates (PEM file) that client certificates are checked against",
  ),
  tlsClientCrl: optional(
    "OUTRIGGER_TLS_CLIENT_CRL",
    parseCrlFile,
    "Revocation lists (PEM file), one of every CA of a chain: client certificates that they name do not count",
  ),
  tlsMinVersion: setting(
    "OUTRIGGER_TLS_MIN_VERSION",
    "1.2",
    oneOf("1.2", "1.3"),
    "Oldest version of TLS that clients may speak: 1.2 or 1.3",
  ),
  tlsUnknownSni: setting(
    "OUTRIGGER_TLS_UNKNOWN_SNI",
    "default",
    oneOf("default", "refuse"),
    "Clients that name a host of no certificate: default shows them the first, refuse ends the handshake",
  ),
} as const satisfies Record<string, Setting<unknown>>;
