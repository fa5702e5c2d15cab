// The composition root: what exists, in the order in which it is made, and how it ends.
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import type { Writable } from "node:stream";
import { type Admin, type Check, createAdmin } from "./admin/admin.ts";
import type { Config } from "./config.ts";
import { systemClock } from "./pipeline/clock.ts";
import type { Clock, PluginDefinition, Services } from "./pipeline/contract.ts";
import { createHttpClient } from "./pipeline/http-client.ts";
import { createPluginHost } from "./pipeline/snapshot.ts";
import { type HeartbeatSender, startHeartbeat } from "./policy/heartbeat.ts";
import type { PolicyLife } from "./policy/life.ts";
import type { EffectivePolicy } from "./policy/read.ts";
import { compilePolicy } from "./proxy/compile-policy.ts";
import { Listener } from "./proxy/listener.ts";
import { createRequestCounters, type RoutedPolicy } from "./proxy/routed-policy.ts";
import { readTlsFiles, type TlsFiles, watchTlsFiles } from "./proxy/tls-files.ts";
import { createPooledTransport } from "./proxy/upstream/pooled-transport.ts";
import { Upstreams } from "./proxy/upstreams.ts";
import { createStore, type RedisStore } from "./redis/store.ts";
import { registry as builtIn } from "./registry.ts";
import { createLife } from "./sidecar-policy.ts";
import { createTelemetry, type Telemetry } from "./telemetry/process.ts";
import { removeStaleSocket } from "./unix-socket.ts";
import { version } from "./version.ts";

/** What tests put in place of the real thing. */
export interface SidecarOverrides {
  readonly registry?: readonly PluginDefinition[];
  readonly clock?: Clock;
  /** Where log lines go in place of stdout. */
  readonly output?: Writable;
}

export interface Sidecar {
  readonly address: AddressInfo | string;
  readonly adminAddress: AddressInfo | string;
  /** All metrics in the Prometheus text format. */
  metrics(): Promise<string>;
  reportFault(kind: string, error: unknown): void;
  /** Unready, drains within the configured limit, closes everything, flushes the log. */
  stop(): Promise<void>;
}

interface Parts {
  readonly telemetry: Telemetry;
  readonly store: RedisStore | undefined;
  readonly life: PolicyLife;
  readonly listener: Listener;
  readonly admin: Admin;
  /** Stops and closes everything, in the order in which things need each other. */
  close(): Promise<void>;
  /** Tells the fleet from now on. */
  beat(): void;
}

/** Rejects, with nothing left running, when an address cannot be bound. */
export async function startSidecar(config: Config, overrides: SidecarOverrides = {}): Promise<Sidecar> {
  const parts = await assemble(config, overrides);
  const { telemetry, listener } = parts;
  try {
    // Health is answered while the policy is still on its way.
    const adminAddress = await parts.admin.listen();
    await parts.life.start();
    parts.beat();
    if ("path" in config.listen) await removeStaleSocket(config.listen.path);
    const address = await listener.listen();
    telemetry.logger.info(
      { version, address: addressText(address), admin: addressText(adminAddress) },
      "listening",
    );
    return {
      address,
      adminAddress,
      metrics: () => telemetry.metrics.render(),
      reportFault: (kind, error) => telemetry.reportFault(kind, error),
      async stop() {
        telemetry.logger.info({ inFlight: listener.inFlight }, "draining");
        await listener.drain(config.drainMs);
        await parts.close();
      },
    };
  } catch (error) {
    await parts.close();
    throw error;
  }
}

function jsonDocument(body: string | undefined): { contentType: string; body: string } | undefined {
  return body === undefined ? undefined : { contentType: "application/json", body };
}

async function assemble(config: Config, overrides: SidecarOverrides): Promise<Parts> {
  const { clock = systemClock, registry = builtIn } = overrides;
  const { service, instance } = config;
  const telemetry = createTelemetry({ level: config.logLevel, service, instance, stream: overrides.output });
  const { logger, metrics } = telemetry;
  const store = config.redis === undefined ? undefined : connectStore(config, telemetry);
  let heartbeat: HeartbeatSender | undefined;
  const services = createServices(config, telemetry, {
    store,
    clock,
    fleetSize: () => heartbeat?.size() ?? 1,
  });
  const upstreams = createUpstreams(config, metrics);
  const compile = compilerOf(config, { services, registry, upstreams });
  let policy: RoutedPolicy | undefined;
  const swap = (next: RoutedPolicy): void => {
    const previous = policy;
    policy = next;
    previous?.snapshot.retire();
    heartbeat?.notice();
  };
  const parts = { store, clock, compile, swap, onRejected: () => heartbeat?.notice() };
  const life = await createLife(config, telemetry, registry, parts);
  const tls = tlsFilesOf(config);
  const listener = createListener(config, tls, telemetry, clock, () => policy);
  const admin = createAdmin({
    listen: config.admin,
    token: config.adminToken,
    logger,
    checks: () => checksOf(life, listener, policy, store),
    metrics,
    policyStatus: () => life.status(),
    logLevel: telemetry.level,
    drain: () => listener.beginDrain(),
    extra: (path) => jsonDocument(policy?.snapshot.document(path)),
  });
  const unwatchTls = tls && watchTlsFiles(tls, logger, (options) => listener.setTls(options));
  return {
    telemetry,
    store,
    life,
    listener,
    admin,
    beat() {
      if (store === undefined) return;
      heartbeat = startHeartbeat({ store, service, instance, version, status: () => life.status(), clock });
    },
    async close() {
      unwatchTls?.();
      await heartbeat?.stop();
      await life.stop();
      policy?.snapshot.retire();
      upstreams.close();
      await admin.close();
      store?.close();
      await telemetry.output.flush(1_000);
    },
  };
}

function createServices(
  { service, instance, region, secrets }: Config,
  { logger, accessLog, metrics }: Telemetry,
  parts: { store: RedisStore | undefined; clock: Clock; fleetSize: () => number },
): Services {
  return {
    logger,
    accessLog,
    metrics,
    store: parts.store,
    secrets: { get: (name) => secrets[name] },
    http: createHttpClient(),
    clock: parts.clock,
    fleet: { service, instance, region, size: parts.fleetSize },
  };
}

function createUpstreams(config: Config, metrics: Telemetry["metrics"]): Upstreams {
  const pool = {
    maxConnections: config.upstreamConnections,
    maxQueued: config.upstreamQueue,
    idleTimeoutMs: config.upstreamIdleMs,
  };
  const upstreams = new Upstreams((target) => createPooledTransport(target, pool), metrics);
  metrics.onRender(() => upstreams.observe());
  return upstreams;
}

function compilerOf(
  config: Config,
  parts: { services: Services; registry: readonly PluginDefinition[]; upstreams: Upstreams },
): (policy: EffectivePolicy) => Promise<RoutedPolicy> {
  const compileParts = {
    host: createPluginHost(parts.registry, parts.services),
    upstreams: parts.upstreams,
    counters: createRequestCounters(parts.services.metrics),
    upstream: config.upstream,
    timeoutMs: config.upstreamTimeoutMs,
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
  const { listen, trustedProxies } = config;
  const withTls = tls === undefined ? {} : { tls: readTlsFiles(tls) };
  return new Listener({ listen, limits: config, trustedProxies, ...withTls, clock, logger, metrics, policy });
}

function connectStore(config: Config, { logger, metrics }: Telemetry): RedisStore {
  const up = metrics.gauge("outrigger_redis_up", "Whether Redis answers")();
  const seconds = metrics.histogram("outrigger_redis_command_duration_seconds", "Redis commands", [
    "command",
  ]);
  up.set(0);
  return createStore({
    address: config.redis as NonNullable<Config["redis"]>,
    keyPrefix: config.keyPrefix,
    connectionName: `outrigger-${config.service}`,
    onState({ of, up: isUp, reason }) {
      if (of === "commands") up.set(isUp ? 1 : 0);
      const what = of === "commands" ? "Redis" : "Redis' change messages";
      if (isUp) logger.info({}, `${what}: connected`);
      else logger.warn({ reason }, `${what}: out of reach`);
    },
    onCommand: (name, elapsed) => seconds(name).observe(elapsed),
    onListenerError: (error) => logger.error({ err: error }, "a listener to Redis changes failed"),
  });
}

function checksOf(
  life: PolicyLife,
  listener: Listener,
  policy: RoutedPolicy | undefined,
  store: RedisStore | undefined,
): Check[] {
  const plugins = [...(policy?.snapshot.health() ?? [])].map(([name, trouble]) => ({
    name: `plugin ${name}`,
    // A plugin in trouble has its own fail mode; taking the sidecar out of service would be one more failure.
    ok: true,
    detail: trouble,
  }));
  return [
    { name: "policy", ok: life.ready },
    { name: "listener", ok: listener.listening },
    { name: "not draining", ok: !listener.draining },
    ...(store === undefined
      ? []
      : [{ name: "redis", ok: true, detail: store.up ? "up" : "down, not needed to serve" }]),
    ...plugins,
  ];
}

function tlsFilesOf({ tlsCert, tlsKey, tlsClientCa }: Config): TlsFiles | undefined {
  return tlsCert === undefined || tlsKey === undefined
    ? undefined
    : { cert: tlsCert, key: tlsKey, clientCa: tlsClientCa };
}

function addressText(address: AddressInfo | string): string {
  if (typeof address === "string") return `unix:${address}`;
  return address.family === "IPv6"
    ? `[${address.address}]:${address.port}`
    : `${address.address}:${address.port}`;
}
