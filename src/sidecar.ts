// The composition root: what exists, in the order in which it is made, and how it ends.
import type { AddressInfo } from "node:net";
import type { Writable } from "node:stream";
import { registry as builtIn } from "../plugins/index.ts";
import type { Config } from "./config.ts";
import { systemClock } from "./pipeline/clock.ts";
import type { Clock, PluginDefinition, Services } from "./pipeline/contract.ts";
import { createHttpClient } from "./pipeline/http-client.ts";
import { createPluginHost } from "./pipeline/snapshot.ts";
import { createPolicyReader } from "./policy/read.ts";
import { compilePolicy } from "./proxy/compile-policy.ts";
import { Listener } from "./proxy/listener.ts";
import { createRequestCounters, type RoutedPolicy } from "./proxy/routed-policy.ts";
import { createPooledTransport } from "./proxy/upstream/pooled-transport.ts";
import { Upstreams } from "./proxy/upstreams.ts";
import { createLogging } from "./telemetry/logger.ts";
import { createMetrics } from "./telemetry/metrics.ts";
import { createOutput } from "./telemetry/output.ts";
import { readFileSync } from "node:fs";

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
  stop(): Promise<void>;
}

export async function startSidecar(config: Config, overrides: SidecarOverrides = {}): Promise<Sidecar> {
  const clock = overrides.clock ?? systemClock;
  const output = createOutput({ stream: overrides.output ?? process.stdout });
  const { logger, accessLog } = createLogging({
    level: config.logLevel,
    service: config.service,
    instance: config.instance,
    output,
  });
  const metrics = createMetrics({ service: config.service });
  const services: Services = {
    logger,
    accessLog,
    metrics,
    store: undefined,
    secrets: { get: (name) => config.secrets[name] },
    http: createHttpClient(),
    clock,
    fleet: { service: config.service, instance: config.instance, size: () => 1 },
  };
  const registry = overrides.registry ?? builtIn;
  const host = createPluginHost(registry, services);
  const upstreams = new Upstreams(
    (target) =>
      createPooledTransport(target, { maxConnections: config.upstreamConnections, maxQueued: 10_000, idleTimeoutMs: config.upstreamIdleMs }),
    metrics,
  );
  const counters = createRequestCounters(metrics);
  let policy: RoutedPolicy | undefined;
  const read = await createPolicyReader({
    plugins: Object.fromEntries(registry.map((plugin) => [plugin.name, plugin])),
    service: config.service,
    upstreamAllow: config.upstreamAllow,
    keys: config.policyKeys ?? undefined,
  });
  const effective = await read({
    shared: readFileSync(config.policyFile as string),
    layer: undefined,
    format: "any",
  });
  policy = await compilePolicy(effective, {
    host,
    upstreams,
    counters,
    upstream: config.upstream,
    timeoutMs: config.upstreamTimeoutMs,
    upstreamCa: undefined,
  });
  const listener = new Listener({
    listen: config.listen,
    limits: { ...config, clientStallMs: 30_000 },
    trustedProxies: config.trustedProxies,
    clock,
    logger,
    metrics,
    policy: () => policy,
  });
  const address = await listener.listen();
  return {
    address,
    adminAddress: address,
    metrics: () => metrics.render(),
    async stop() {
      await listener.drain(config.drainMs);
      upstreams.close();
      await output.flush(1000);
    },
  };
}
