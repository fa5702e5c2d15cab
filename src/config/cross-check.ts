// Checks the rules that hold between settings.
import { isDeepStrictEqual } from "node:util";
import { isUpstreamAllowed, type ListenAddress, type ReadFile, shownPath } from "./formats.ts";
import { parseSpiffeId } from "../language/spiffe-id.ts";
import { readSvidChain } from "../tls/svid.ts";
import { isPair } from "./pem.ts";
import { settings, type SettingValues } from "./settings.ts";

const redisTlsSettings = ["redisCa", "redisCert", "redisKey", "redisServername"] as const;

/** Settings that need another one. */
const pairs = [
  ["tlsCert", "tlsKey"],
  ["tlsKey", "tlsCert"],
  ["tlsClientCa", "tlsCert"],
  ["tlsClientCrl", "tlsClientCa"],
  ["spiffeCert", "spiffeKey"],
  ["spiffeKey", "spiffeBundle"],
  ["spiffeBundle", "spiffeCert"],
  ["spiffeFederatedBundles", "spiffeBundle"],
  ["egress", "spiffeCert"],
  ["egress", "egressTo"],
  ["egressTo", "egress"],
  ["upstreamCert", "upstreamKey"],
  ["upstreamKey", "upstreamCert"],
  ["redisCert", "redisKey"],
  ["redisKey", "redisCert"],
  // Unsigned documents are not taken from peers.
  ["peers", "policyKeys"],
  ["peers", "redis"],
  ...redisTlsSettings.map((given) => [given, "redis"] as const),
] as const;

/** Certificates and their keys. */
const certificates = [
  ["tlsCert", "tlsKey"],
  ["spiffeCert", "spiffeKey"],
  ["upstreamCert", "upstreamKey"],
  ["redisCert", "redisKey"],
] as const;

function metricsProblem(values: Partial<SettingValues>): string | undefined {
  const { otelMetricsExporter, otelMetricsEndpoint, otelEndpoint } = values;
  if (otelMetricsExporter !== "otlp" || otelMetricsEndpoint !== undefined || otelEndpoint !== undefined)
    return undefined;
  return "OTEL_METRICS_EXPORTER: otlp needs OTEL_EXPORTER_OTLP_METRICS_ENDPOINT or OTEL_EXPORTER_OTLP_ENDPOINT";
}

/**
 * @param values without those that are invalid by themselves
 * @param texts the value of each variable
 * @returns one line for each problem
 */
export function crossCheck(
  values: Partial<SettingValues>,
  texts: Readonly<Record<string, string>>,
  readFile: ReadFile,
): string[] {
  const problems: string[] = [];
  const { upstream, upstreamAllow } = values;
  if (upstream && upstreamAllow && !isUpstreamAllowed(upstream, upstreamAllow)) {
    problems.push(
      `OUTRIGGER_UPSTREAM: ${upstream.name} is neither on loopback nor in OUTRIGGER_UPSTREAM_ALLOW: add ${upstream.name} there to allow it`,
    );
  }
  for (const [given, needs] of pairs) {
    const needed = settings[needs].env;
    if (values[given] !== undefined && !(needed in texts)) {
      problems.push(`${settings[given].env}: needs ${needed}, which is unset`);
    }
  }
  // Peers show the policy only to holders of the token, or to their own SPIFFE id.
  if (values.peers !== undefined && !(settings.adminToken.env in texts || settings.spiffeCert.env in texts))
    problems.push("OUTRIGGER_PEERS: needs OUTRIGGER_ADMIN_TOKEN or OUTRIGGER_SPIFFE_CERT: both are unset");
  const metrics = metricsProblem(values);
  if (metrics !== undefined) problems.push(metrics);
  for (const [cert, key] of certificates) {
    const certFiles = [values[cert] ?? []].flat();
    const keyFiles = [values[key] ?? []].flat();
    if (certFiles.length === 0 || keyFiles.length === 0) continue;
    problems.push(...pairProblems(settings[key].env, certFiles, keyFiles, readFile));
  }
  if (values.spiffeCert !== undefined && values.tlsCert !== undefined)
    problems.push("OUTRIGGER_SPIFFE_CERT: the listener has OUTRIGGER_TLS_CERT already: unset one of them");
  if (values.upstreamServername !== undefined && upstream?.tls === false)
    problems.push("OUTRIGGER_UPSTREAM_SERVERNAME: needs https:// in OUTRIGGER_UPSTREAM");
  for (const given of redisTlsSettings) {
    if (values[given] !== undefined && values.redis?.tls === false)
      problems.push(`${settings[given].env}: needs rediss:// in REDIS_URL`);
  }
  if (values.proxyProtocol === "accept" && values.trustedProxies?.length === 0)
    problems.push("OUTRIGGER_PROXY_PROTOCOL: needs OUTRIGGER_TRUSTED_PROXIES: nobody else is believed");
  return problems.concat(listenProblems(values), auditProblems(values), egressProblems(values, readFile));
}

/** Without federated bundles, the own bundle only covers the sidecar's own trust domain. */
function egressProblems(
  { spiffeCert, spiffeFederatedBundles, egressTo }: Partial<SettingValues>,
  readFile: ReadFile,
): string[] {
  if (spiffeCert === undefined || egressTo === undefined || spiffeFederatedBundles !== undefined) return [];
  const domain = readSvidChain(readFile(spiffeCert))?.trustDomain;
  return egressTo
    .filter(({ peer }) => parseSpiffeId(peer)?.trustDomain !== domain)
    .map(
      ({ host, peer }) =>
        `OUTRIGGER_EGRESS_TO: ${host}: ${peer} is of another trust domain than ${domain}, and OUTRIGGER_SPIFFE_FEDERATED_BUNDLES is not set`,
    );
}

function listenProblems({ listen, listenMode, listenReusePort, admin }: Partial<SettingValues>): string[] {
  const problems: string[] = [];
  if (listen === undefined) return problems;
  if (admin && listen.some((each) => !isAny(each) && isDeepStrictEqual(each, admin)))
    problems.push("OUTRIGGER_ADMIN: is an address of OUTRIGGER_LISTEN");
  if (listenReusePort === "on" && (listen.some(isAny) || listen.every((each) => "path" in each)))
    problems.push("OUTRIGGER_LISTEN_REUSE_PORT: needs a port in OUTRIGGER_LISTEN, and none that is 0");
  if (listenMode !== undefined && listen.every((each) => "port" in each))
    problems.push("OUTRIGGER_LISTEN_MODE: needs a unix socket in OUTRIGGER_LISTEN");
  return problems;
}

/** Port 0 means any free port. */
function isAny(each: ListenAddress): boolean {
  return "port" in each && each.port === 0;
}

/** An audit trail without a signing key or a place to go is an error. */
function auditProblems(values: Partial<SettingValues>): string[] {
  const { auditKey, auditFile, auditSinks = [], redis, otelLogsEndpoint, otelEndpoint } = values;
  const problems: string[] = [];
  if (auditFile !== undefined && auditKey === undefined)
    problems.push("OUTRIGGER_AUDIT_FILE: needs OUTRIGGER_AUDIT_KEY, which is unset");
  const needs = { file: auditFile, redis, otlp: otelLogsEndpoint ?? otelEndpoint };
  const names = {
    file: "OUTRIGGER_AUDIT_FILE",
    redis: "REDIS_URL",
    otlp: "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT or OTEL_EXPORTER_OTLP_ENDPOINT",
  };
  for (const sink of auditSinks)
    if (needs[sink] === undefined)
      problems.push(`OUTRIGGER_AUDIT_SINKS: ${sink} needs ${names[sink]}, which is unset`);
  // A collector only has a copy of the trail.
  if (auditSinks.includes("otlp") && auditFile === undefined && redis === undefined)
    problems.push("OUTRIGGER_AUDIT_SINKS: otlp needs OUTRIGGER_AUDIT_FILE or REDIS_URL beside it");
  return problems;
}

function pairProblems(
  env: string,
  certs: readonly string[],
  keys: readonly string[],
  readFile: ReadFile,
): string[] {
  if (certs.length !== keys.length)
    return [`${env}: must hold a key for each of the ${certs.length} certificates, in their order`];
  return certs.flatMap((cert, at) => {
    const key = keys[at] as string;
    if (isPair(cert, key, readFile)) return [];
    return [`${env}: ${shownPath(key)} is not the key of the certificate in ${shownPath(cert)}`];
  });
}
