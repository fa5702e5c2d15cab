// The table of all settings: one row for each environment variable, with its default, format and meaning. `outrigger
// config` prints it.
import { hostname } from "node:os";
import { parsePeers } from "./peers.ts";
import { parseReadyCheck } from "./ready-check.ts";
import {
  integer,
  matching,
  oneOf,
  parseHostPatterns,
  parseListen,
  parseOverrideFields,
  parsePath,
  parsePublicKeys,
  parseToken,
  parseUpstream,
} from "./formats.ts";
import { auditSettings } from "./audit.ts";
import { clientSettings } from "./clients.ts";
import { listenerSettings, listenSettings } from "./listener.ts";
import { otelSettings } from "./otel.ts";
import { parseCertificateFile, parseKeyFile } from "./pem.ts";
import { pluginSourceSettings } from "./plugin-sources.ts";
import { egressSettings } from "./egress.ts";
import { spiffeSettings } from "./spiffe.ts";
import { upstreamTlsSettings } from "./upstream-tls.ts";
import { optional, type Parse, secret, setting, type Setting } from "./setting.ts";
import { logFormats } from "../plugin-api/telemetry.ts";
import { parseRedisAddress } from "../redis/address.ts";
import { parseSecretHosts } from "./secret-hosts.ts";
import { parseStoreKeys } from "../redis/seals.ts";

const hour = 3_600_000;
const word = (longest: number): Parse<string> =>
  matching(
    new RegExp(`^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,${longest - 1}})$`),
    `at most ${longest} letters, digits, dots, dashes and underscores, starting with a letter or digit`,
  );
// A host name may have characters that Redis keys and labels cannot carry: they are replaced.
const ownHostName =
  hostname()
    .replace(/[^A-Za-z0-9._-]/g, "-")
    .replace(/^[._-]+/, "")
    .slice(0, 253) || "outrigger";

const logLevels = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;

export const settings = {
  service: setting(
    "OUTRIGGER_SERVICE",
    "default",
    word(128),
    "Name of the service behind this sidecar: selects its policy layer, names its cache, log stream and metrics",
  ),
  instance: setting(
    "OUTRIGGER_INSTANCE",
    ownHostName,
    word(253),
    "Name of this sidecar in the fleet; default: the host name",
  ),
  author: optional(
    "OUTRIGGER_AUTHOR",
    matching(/^[^\p{Cc}]{1,200}$/u, "at most 200 characters of one line"),
    "Who changes policies by the command line, for their history; default: the user and host",
  ),
  region: optional(
    "OUTRIGGER_REGION",
    word(32),
    "Where this sidecar runs, for fleets in several regions: keeps cached responses in Redis apart by region",
  ),
  zone: optional(
    "OUTRIGGER_ZONE",
    word(64),
    "Where this sidecar runs, by the zones that a policy's upstreams give their endpoints: those of its own are asked first",
  ),
  ...listenSettings,
  upstream: setting(
    "OUTRIGGER_UPSTREAM",
    "http://127.0.0.1:3000",
    parseUpstream,
    "The service: http:// or https:// on loopback, with a base path or none, or unix:/path",
  ),
  upstreamProtocol: setting(
    "OUTRIGGER_UPSTREAM_PROTOCOL",
    "http1",
    oneOf("http1", "h2c", "h2", "auto"),
    "What services speak: http1, h2c (HTTP/2 in clear), h2 (over TLS), auto (HTTP/2 for gRPC alone)",
  ),
  upstreamProxyProtocol: optional(
    "OUTRIGGER_UPSTREAM_PROXY_PROTOCOL",
    oneOf("v1", "v2"),
    "PROXY protocol towards services, v1 or v2: each connection names its client, and carries no other's requests; unset: none",
  ),
  upstreamAllow: setting(
    "OUTRIGGER_UPSTREAM_ALLOW",
    "",
    parseHostPatterns,
    "Hosts besides loopback that an upstream may name: host:port and *.suffix:port, comma-separated",
  ),
  upstreamConnections: setting(
    "OUTRIGGER_UPSTREAM_CONNECTIONS",
    "128",
    integer(1, 65_535),
    "Most connections to one upstream",
  ),
  upstreamUpgrades: setting(
    "OUTRIGGER_UPSTREAM_UPGRADES",
    "512",
    integer(0, 65_535),
    "Most upgraded connections (WebSocket) to one upstream; more are answered 503",
  ),
  upstreamQueue: setting(
    "OUTRIGGER_UPSTREAM_QUEUE",
    "8192",
    integer(0, 100_000),
    "Most requests that wait for a connection to one upstream, no longer than OUTRIGGER_UPSTREAM_CONNECT_TIMEOUT_MS; more are answered 503",
  ),
  ...upstreamTlsSettings,
  upstreamTimeoutMs: setting(
    "OUTRIGGER_UPSTREAM_TIMEOUT_MS",
    "30000",
    integer(1, hour),
    "Longest wait for a response head and for every later gap, where a route sets no timeout",
  ),
  upstreamConnectTimeoutMs: setting(
    "OUTRIGGER_UPSTREAM_CONNECT_TIMEOUT_MS",
    "2000",
    integer(1, hour),
    "Longest wait for a connection to an upstream",
  ),
  upstreamIdleMs: setting(
    "OUTRIGGER_UPSTREAM_IDLE_MS",
    "4000",
    integer(0, hour),
    "How long an idle connection to an upstream is kept; shorter than the service keeps it (Node: 5000)",
  ),
  admin: setting(
    "OUTRIGGER_ADMIN",
    "0.0.0.0:9901",
    parseListen,
    "Health, metrics and control: host:port, [ipv6]:port or unix:/path",
  ),
  readyUpstream: optional(
    "OUTRIGGER_READY_UPSTREAM",
    parseReadyCheck,
    "The service's own health, which /readyz then follows, asked every second: a path (2xx and 3xx), or gRPC's health checks, grpc or grpc:package.Service; unset: not asked",
  ),
  adminToken: secret(
    "OUTRIGGER_ADMIN_TOKEN",
    parseToken,
    "Bearer token that opens the sensitive admin endpoints to peers that are not on loopback",
  ),
  redis: secret(
    "REDIS_URL",
    parseRedisAddress,
    "Shared state: redis://, rediss://, redis+cluster:// (or several nodes with commas), redis+sentinel://…/master?sentinelPassword=…; unset: embedded",
  ),
  relayFrom: secret(
    "OUTRIGGER_RELAY_FROM",
    parseRedisAddress,
    "Redis of the region whose policy outrigger relay brings to that of REDIS_URL",
  ),
  relayFromRegion: optional(
    "OUTRIGGER_RELAY_FROM_REGION",
    word(32),
    "OUTRIGGER_REGION there; with it outrigger relay leases quotas over regions from that Redis",
  ),
  redisCa: optional(
    "OUTRIGGER_REDIS_CA",
    parseCertificateFile,
    "CA certificates (PEM file) that the certificate of rediss:// is checked against; unset: the system's",
  ),
  redisCert: optional(
    "OUTRIGGER_REDIS_CERT",
    parseCertificateFile,
    "Certificate chain (PEM file) shown to Redis; read again for every connection",
  ),
  redisKey: optional("OUTRIGGER_REDIS_KEY", parseKeyFile, "Private key (PEM file) of that certificate"),
  redisServername: optional(
    "OUTRIGGER_REDIS_SERVERNAME",
    matching(/^[A-Za-z0-9.-]{1,253}$/, "a host name"),
    "Name that Redis' certificate must be made out to, when it is not the host of REDIS_URL",
  ),
  keyPrefix: setting(
    "OUTRIGGER_KEY_PREFIX",
    "outrigger:",
    matching(/^[\x21-\x7e]{1,64}$/, "at most 64 visible ASCII characters without spaces"),
    "Prefix of every Redis key",
  ),
  storeKeys: secret(
    "OUTRIGGER_STORE_KEYS",
    parseStoreKeys,
    "Keys of 32 bytes (base64url), comma-separated, newest first: what is in Redis counts only with a MAC under one",
  ),
  policyFile: optional(
    "OUTRIGGER_POLICY_FILE",
    parsePath,
    "Policy when REDIS_URL is unset (watched); with Redis, the baseline while Redis holds none and none was kept",
  ),
  policyMaxBytes: setting(
    "OUTRIGGER_POLICY_MAX_BYTES",
    "1048576",
    integer(1, 64 * 1_048_576),
    "Largest policy document that is read",
  ),
  policyKeys: optional(
    "OUTRIGGER_POLICY_KEYS",
    parsePublicKeys,
    "JWKS of public keys, inline or a file path: a policy that none of them signed is refused",
  ),
  stateDir: optional(
    "OUTRIGGER_STATE_DIR",
    parsePath,
    "Directory where the last good policy is kept over restarts, and logouts where there is no Redis",
  ),
  peers: optional(
    "OUTRIGGER_PEERS",
    parsePeers,
    "Admin listeners of the service's other sidecars: host[:port], comma-separated, a name is all its addresses; who has no policy while Redis is away takes their signed one, by OUTRIGGER_SPIFFE_CERT over TLS, else by OUTRIGGER_ADMIN_TOKEN",
  ),
  drills: setting(
    "OUTRIGGER_DRILLS",
    "off",
    oneOf("off", "on"),
    "Whether outrigger drill may have this sidecar behave as if Redis, the service, an issuer or a plugin failed",
  ),
  underscoreFields: setting(
    "OUTRIGGER_UNDERSCORE_FIELDS",
    "drop",
    oneOf("drop", "keep"),
    "Request fields with _ in their name: drop, as nginx does, or keep; to every check _ is -",
  ),
  keepOverrides: setting(
    "OUTRIGGER_KEEP_OVERRIDES",
    "",
    parseOverrideFields,
    "Method, path and host overrides (x-http-method-override …) let through where a policy guards a route, comma-separated",
  ),
  requestTrailers: setting(
    "OUTRIGGER_REQUEST_TRAILERS",
    "asked",
    oneOf("asked", "all", "none"),
    "Request trailers that are forwarded: asked (with TE: trailers, and gRPC), all or none; never identity",
  ),
  ...listenerSettings,
  ...spiffeSettings,
  ...egressSettings,
  ...clientSettings,
  recheckMs: setting(
    "OUTRIGGER_RECHECK_MS",
    "5000",
    integer(100, hour),
    "How often running streams and upgrades are checked again: credential, rules, age",
  ),
  workers: setting(
    "OUTRIGGER_WORKERS",
    "1",
    (text): number | "auto" => (text === "auto" ? text : integer(1, 256, "auto")(text)),
    "Processes that serve; auto = one per processor",
  ),
  secretHosts: setting(
    "OUTRIGGER_SECRET_HOSTS",
    "",
    parseSecretHosts,
    "Where a policy may send which secret: SECRET_A=host:port,*.suffix:port;SECRET_B=…; what is not named is not sent",
  ),
  ...pluginSourceSettings,
  drainMs: setting(
    "OUTRIGGER_DRAIN_MS",
    "10000",
    integer(0, hour),
    "Longest time for connections to be answered and to end at shutdown",
  ),
  drainMinMs: setting(
    "OUTRIGGER_DRAIN_MIN_MS",
    "0",
    integer(0, hour),
    "Least time for which requests are served at shutdown, for load balancers that are slow to notice",
  ),
  logLevel: setting(
    "LOG_LEVEL",
    "info",
    oneOf(...logLevels),
    "Lowest level that is logged: trace, debug, info, warn, error, fatal or silent",
  ),
  logFormat: setting(
    "OUTRIGGER_LOG_FORMAT",
    "json",
    oneOf(...logFormats),
    "How log lines are written: json (pino's), ecs (Elastic Common Schema), otel (OTLP in JSON), clf (Combined Log Format; the sidecar's own lines as json)",
  ),
  ...auditSettings,
  ...otelSettings,
} as const satisfies Record<string, Setting<unknown>>;

/** The parsed values of all settings. */
export type SettingValues = {
  readonly [Name in keyof typeof settings]: ReturnType<(typeof settings)[Name]["parse"]>;
};
