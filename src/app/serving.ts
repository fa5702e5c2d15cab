// What serves requests: plugins' services, upstream pools, the compile step, the policy in force, the client listener.
// One process has it beside the admin listener and the policy's source; of several, each worker has one.
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import type { Config } from "../config/config.ts";
import { FolderLines } from "../files/kept-lines.ts";
import { LiveSecrets, type SecretValues } from "./live-secrets.ts";
import type { Clock, PluginDefinition } from "../plugin-api/contract.ts";
import { createHttpClient } from "../runtime/http-client.ts";
import { createPluginHost, type PluginHost } from "../runtime/plugin-host.ts";
import type { HostServices } from "../runtime/scoped-services.ts";
import { type Compile, PolicyInForce } from "./policy-in-force.ts";
import type { EffectivePolicy } from "../policy/read.ts";
import { compilePolicy } from "../routing/compile-policy.ts";
import { Listener } from "../server/listener.ts";
import { createRequestCounters, type RoutedPolicy } from "../routing/routed-policy.ts";
import { readTlsFiles, type TlsFiles, watchTlsFiles } from "../server/tls-files.ts";
import { createPooledTransport } from "../upstream/pooled-transport.ts";
import { Upstreams } from "../upstream/upstreams.ts";
import type { RedisStore } from "../redis/store.ts";
import type { Telemetry } from "../telemetry/process.ts";
import { StallWatch } from "../telemetry/stalls.ts";

export interface ServingParts {
  readonly store: RedisStore | undefined;
  readonly clock: Clock;
  readonly registry: readonly PluginDefinition[];
  /** Live processes of this kind, over all sidecars of the service. */
  readonly fleetSize: () => number;
  /** How many processes serve for this sidecar; absent = 1. */
  readonly workerCount?: number;
  /** The process above them, without Redis. */
  readonly workers?: HostServices["workers"];
}

export interface Serving {
  readonly listener: Listener;
  /** The policy in force; undefined = none yet. */
  policy(): RoutedPolicy | undefined;
  /** Sets a policy up. Rejects, leaving nothing behind, when that fails. */
  compile(policy: EffectivePolicy): Promise<RoutedPolicy>;
  /** Puts it in force; the one before is closed after its last exchange. */
  swap(policy: RoutedPolicy): void;
  /** Whether these secrets are in force. */
  hasSecrets(values: SecretValues): boolean;
  /** Sets the policy in force up with these. Rejects when that fails; it stays as it is then. */
  renewSecrets(values: SecretValues): Promise<void>;
  /** Closes what the listener, drained already, no longer needs: plugins first, which may still give back what they hold. */
  close(): Promise<void>;
}

/** Plugins have bounded waits of their own; one that has not must not hold the exit up. */
const closeLimitMs = 2_000;

/** @throws Error when a file that the settings name cannot be read */
export function createServing(config: Config, telemetry: Telemetry, parts: ServingParts): Serving {
  const { logger, metrics } = telemetry;
  const values = { secrets: config.secrets, storeKeys: config.storeKeys };
  const secrets = new LiveSecrets(values, config.secretHosts);
  const services = createServices(config, telemetry, parts, secrets);
  const upstreams = createUpstreams(config, metrics);
  const stalls = new StallWatch(logger, metrics);
  stalls.start();
  const host = createPluginHost(parts.registry, services, (hook, ms) => stalls.suspect(hook, ms));
  const inForce = new PolicyInForce(compilerOf(config, host, upstreams), secrets);
  const tls = tlsFilesOf(config);
  const listener = createListener(config, tls, telemetry, parts.clock, () => inForce.routed);
  const unwatchTls = tls && watchTlsFiles(tls, logger, (options) => listener.setTls(options));
  return {
    listener,
    policy: () => inForce.routed,
    compile: (policy) => inForce.compile(policy),
    swap: (next) => inForce.swap(next),
    hasSecrets: (values) => inForce.has(values),
    renewSecrets: (values) => inForce.renew(values),
    async close() {
      unwatchTls?.();
      stalls.stop();
      const closed = (async () => {
        await inForce.close();
        await host.states.close();
      })();
      await Promise.race([closed, delay(closeLimitMs, undefined, { ref: false })]);
      upstreams.close();
    },
  };
}

function createServices(
  { service, instance, region, keyPrefix, stateDir }: Config,
  { logger, accessLog, metrics }: Telemetry,
  parts: Omit<ServingParts, "registry">,
  secrets: LiveSecrets,
): HostServices {
  return {
    logger,
    accessLog,
    metrics,
    store: parts.store,
    seals: secrets.seals(keyPrefix, service),
    secrets,
    http: createHttpClient(),
    clock: parts.clock,
    fleet: { service, instance, region, size: parts.fleetSize, workers: parts.workerCount },
    keptLines:
      stateDir === undefined ? undefined : (name) => new FolderLines(stateDir, name, service, parts.clock),
    workers: parts.workers,
  };
}

function createUpstreams(config: Config, metrics: Telemetry["metrics"]): Upstreams {
  const pool = {
    maxConnections: config.upstreamConnections,
    maxQueued: config.upstreamQueue,
    maxUpgrades: config.upstreamUpgrades,
    idleTimeoutMs: config.upstreamIdleMs,
    clientShare: config.clientShare,
  };
  const upstreams = new Upstreams((target) => createPooledTransport(target, pool), metrics);
  metrics.onRender(() => upstreams.observe());
  return upstreams;
}

function compilerOf(config: Config, host: PluginHost, upstreams: Upstreams): Compile {
  const compileParts = {
    upstreams,
    counters: createRequestCounters(host.services.metrics),
    upstream: config.upstream,
    timeoutMs: config.upstreamTimeoutMs,
    fieldRules: config,
    upstreamCa: config.upstreamCa === undefined ? undefined : readFileSync(config.upstreamCa, "utf8"),
  };
  return (policy, secrets) => compilePolicy(policy, { ...compileParts, host: { ...host, secrets } });
}

function createListener(
  config: Config,
  tls: TlsFiles | undefined,
  { logger, metrics }: Telemetry,
  clock: Clock,
  policy: () => RoutedPolicy | undefined,
): Listener {
  const { listen, trustedProxies, forwardedField, trustedHops } = config;
  const keepsUnderscores = config.underscoreFields === "keep";
  const withTls = tls === undefined ? {} : { tls: readTlsFiles(tls) };
  const proxies = { trustedProxies, forwardedField, trustedHops };
  const parts = { ...withTls, clock, logger, metrics, policy };
  return new Listener({ listen, limits: config, ...proxies, keepsUnderscores, ...parts });
}

function tlsFilesOf({ tlsCert, tlsKey, tlsClientCa }: Config): TlsFiles | undefined {
  return tlsCert === undefined || tlsKey === undefined
    ? undefined
    : { cert: tlsCert, key: tlsKey, clientCa: tlsClientCa };
}
