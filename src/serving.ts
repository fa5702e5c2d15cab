// What serves requests: plugins' services, upstream pools, the compile step, the policy in force, the client listener.
// One process has it beside the admin listener and the policy's source; of several, each worker has one.
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import type { Config } from "./config.ts";
import { FolderLines } from "./kept-lines.ts";
import type { Clock, PluginDefinition } from "./pipeline/contract.ts";
import { createHttpClient } from "./pipeline/http-client.ts";
import { createPluginHost, type PluginHost } from "./pipeline/plugin-host.ts";
import type { HostServices } from "./pipeline/scoped-services.ts";
import type { EffectivePolicy } from "./policy/read.ts";
import { compilePolicy } from "./proxy/compile-policy.ts";
import { Listener } from "./proxy/listener.ts";
import { createRequestCounters, type RoutedPolicy } from "./proxy/routed-policy.ts";
import { readTlsFiles, type TlsFiles, watchTlsFiles } from "./proxy/tls-files.ts";
import { createPooledTransport } from "./proxy/upstream/pooled-transport.ts";
import { Upstreams } from "./proxy/upstreams.ts";
import { createSeals } from "./redis/seals.ts";
import type { RedisStore } from "./redis/store.ts";
import { createSecrets } from "./secret-hosts.ts";
import { shedMemory } from "./shed-memory.ts";
import type { Telemetry } from "./telemetry/process.ts";
import { StallWatch } from "./telemetry/stalls.ts";

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
  /** Closes what the listener, drained already, no longer needs: plugins first, which may still give back what they hold. */
  close(): Promise<void>;
}

/** A policy of so many routes takes tens of MiB. */
const manyRoutes = 1_000;

/** Plugins have bounded waits of their own; one that has not must not hold the exit up. */
const closeLimitMs = 2_000;

/** @throws Error when a file that the settings name cannot be read */
export function createServing(config: Config, telemetry: Telemetry, parts: ServingParts): Serving {
  const { logger, metrics } = telemetry;
  const services = createServices(config, telemetry, parts);
  const upstreams = createUpstreams(config, metrics);
  const stalls = new StallWatch(logger, metrics);
  stalls.start();
  const host = createPluginHost(parts.registry, services, (hook, ms) => stalls.suspect(hook, ms));
  let policy: RoutedPolicy | undefined;
  const tls = tlsFilesOf(config);
  const listener = createListener(config, tls, telemetry, parts.clock, () => policy);
  const unwatchTls = tls && watchTlsFiles(tls, logger, (options) => listener.setTls(options));
  return {
    listener,
    policy: () => policy,
    compile: compilerOf(config, host, upstreams),
    swap(next) {
      const previous = policy;
      policy = next;
      if (previous === undefined) return;
      previous.snapshot.retire();
      if (previous.snapshot.routes.length >= manyRoutes) void previous.snapshot.closed.then(shedMemory);
    },
    async close() {
      unwatchTls?.();
      stalls.stop();
      policy?.snapshot.retire();
      const closed = (async () => {
        await policy?.snapshot.closed;
        await host.states.close();
      })();
      await Promise.race([closed, delay(closeLimitMs, undefined, { ref: false })]);
      upstreams.close();
    },
  };
}

function createServices(
  { service, instance, region, secrets, secretHosts, storeKeys, keyPrefix, stateDir }: Config,
  { logger, accessLog, metrics }: Telemetry,
  parts: Omit<ServingParts, "registry">,
): HostServices {
  return {
    logger,
    accessLog,
    metrics,
    store: parts.store,
    seals: storeKeys && createSeals(storeKeys, keyPrefix, service),
    secrets: createSecrets(secrets, secretHosts),
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
    idleTimeoutMs: config.upstreamIdleMs,
    clientShare: config.clientShare,
  };
  const upstreams = new Upstreams((target) => createPooledTransport(target, pool), metrics);
  metrics.onRender(() => upstreams.observe());
  return upstreams;
}

function compilerOf(
  config: Config,
  host: PluginHost,
  upstreams: Upstreams,
): (policy: EffectivePolicy) => Promise<RoutedPolicy> {
  const compileParts = {
    host,
    upstreams,
    counters: createRequestCounters(host.services.metrics),
    upstream: config.upstream,
    timeoutMs: config.upstreamTimeoutMs,
    fieldRules: config,
    upstreamCa: config.upstreamCa === undefined ? undefined : readFileSync(config.upstreamCa, "utf8"),
  };
  return (policy) => compilePolicy(policy, compileParts);
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
