// The composition root: what exists, in the order in which it is made, and how it ends.
import type { AddressInfo } from "node:net";
import type { Writable } from "node:stream";
import { addressText } from "../language/address-text.ts";
import { type Admin, type Check, createAdmin } from "../admin/admin.ts";
import type { Config } from "../config/config.ts";
import { fitDescriptors } from "./descriptors.ts";
import { systemClock } from "../runtime/clock.ts";
import type { Clock, PluginDefinition } from "../plugin-api/contract.ts";
import { type HeartbeatSender, startHeartbeat } from "../fleet/heartbeat.ts";
import type { PolicyLife } from "../policy/life.ts";
import type { Listener } from "../server/listener.ts";
import type { RoutedPolicy } from "../routing/routed-policy.ts";
import type { RedisStore } from "../redis/store.ts";
import { registry as builtIn } from "./registry.ts";
import { SecretFiles } from "./secret-files.ts";
import { createServing, type Serving } from "./serving.ts";
import { createLife, factsOf } from "./sidecar-policy.ts";
import { connectStore, redisCheck } from "./sidecar-store.ts";
import { bind } from "../config/start-error.ts";
import { createTelemetry, type Telemetry } from "../telemetry/process.ts";
import { removeStaleSocket } from "../files/unix-socket.ts";
import { UpstreamProbe } from "./upstream-probe.ts";
import { version } from "../version.ts";

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
  reportFault(kind: string, error: unknown, plugin?: string): void;
  /** Resolves with the exit code when the admin listener is told to end the process. */
  readonly ending: Promise<number>;
  /** Unready, drains within the configured limit, closes everything, flushes the log. */
  stop(): Promise<void>;
}

interface Parts {
  readonly telemetry: Telemetry;
  readonly store: RedisStore | undefined;
  readonly life: PolicyLife;
  readonly listener: Listener;
  readonly admin: Admin;
  readonly ending: Promise<number>;
  /** Stops and closes everything, in the order in which things need each other. */
  close(): Promise<void>;
  /** Tells the fleet from now on. */
  beat(): void;
}

/** Rejects, with nothing left running: StartError when an address cannot be bound. */
export async function startSidecar(config: Config, overrides: SidecarOverrides = {}): Promise<Sidecar> {
  const parts = await assemble(config, overrides);
  const { telemetry, listener } = parts;
  try {
    // Health is answered while the policy is still on its way.
    const adminAddress = await bind("OUTRIGGER_ADMIN", config.admin, () => parts.admin.listen());
    await parts.life.start();
    parts.beat();
    if ("path" in config.listen) await removeStaleSocket(config.listen.path);
    const address = await bind("OUTRIGGER_LISTEN", config.listen, () => listener.listen());
    telemetry.logger.info(
      { version, address: addressText(address), admin: addressText(adminAddress) },
      "listening",
    );
    return {
      address,
      adminAddress,
      metrics: () => telemetry.metrics.render(),
      reportFault: (kind, error, plugin) => telemetry.reportFault(kind, error, plugin),
      ending: parts.ending,
      async stop() {
        telemetry.logger.info({ inFlight: listener.inFlight }, "draining");
        await listener.drain({
          mostMs: Math.max(config.drainMs, config.drainMinMs),
          leastMs: config.drainMinMs,
        });
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
  const { logger } = telemetry;
  const store = connectStore(config, telemetry);
  let heartbeat: HeartbeatSender | undefined;
  const fleetSize = (): number => heartbeat?.size() ?? 1;
  const fitted = fitDescriptors(config, logger);
  const serving = createServing(fitted.config, telemetry, { store, clock, registry, fleetSize });
  const { listener } = serving;
  const life = await createLife(config, telemetry, registry, {
    store,
    clock,
    compile: (policy) => serving.compile(policy),
    swap(next) {
      serving.swap(next);
      heartbeat?.notice();
    },
    discard: (late) => late.snapshot.retire(),
    onRejected: () => heartbeat?.notice(),
  });
  const secretFiles = new SecretFiles(config, logger, { store, serving });
  const ending = Promise.withResolvers<number>();
  const probe = UpstreamProbe.of(config, logger);
  const admin = createAdmin({
    listen: config.admin,
    maxConnections: fitted.adminConnections,
    token: () => secretFiles.adminToken,
    checks: () => checksOf({ life, listener, policy: serving.policy(), store, probe }),
    policyStatus: () => life.status(),
    quit: () => ending.resolve(0),
    ...adminParts(telemetry, serving),
  });
  return {
    telemetry,
    store,
    life,
    listener,
    admin,
    ending: ending.promise,
    beat() {
      if (store === undefined) return;
      heartbeat = startHeartbeat({ ...factsOf(config, registry), store, status: () => life.status(), clock });
    },
    async close() {
      secretFiles.close();
      probe?.close();
      await heartbeat?.stop();
      await life.stop();
      await serving.close();
      await admin.close();
      store?.close();
      await telemetry.output.flush(1_000);
    },
  };
}

/** What the admin listener shows and does whatever else there is. */
function adminParts({ logger, metrics, level }: Telemetry, serving: Serving) {
  return {
    logger,
    metrics,
    logLevel: level,
    drain: () => serving.listener.beginDrain(),
    extra: (path: string) => jsonDocument(serving.policy()?.snapshot.document(path)),
  };
}

interface Checked {
  readonly life: PolicyLife;
  readonly listener: Listener;
  readonly policy: RoutedPolicy | undefined;
  readonly store: RedisStore | undefined;
  readonly probe: UpstreamProbe | undefined;
}

function checksOf({ life, listener, policy, store, probe }: Checked): Check[] {
  const plugins = [...(policy?.snapshot.health() ?? [])].map(([name, trouble]) => ({
    name: `plugin ${name}`,
    // A plugin in trouble has its own fail mode; taking the sidecar out of service would be one more failure.
    ok: true,
    detail: trouble,
  }));
  return [
    { name: "policy", ok: life.ready },
    { name: "listener", ok: listener.listening },
    { name: listener.draining ? "draining" : "not draining", ok: !listener.draining },
    ...redisCheck(store),
    ...(probe === undefined ? [] : [probe.check]),
    ...plugins,
  ];
}
