// The process above the workers: it has the policy's source, the heartbeat, the admin listener and the one stdout; the
// workers serve.
import cluster from "node:cluster";
import type { AddressInfo } from "node:net";
import { addressText } from "../language/address-text.ts";
import { type Admin, type Check, createAdmin } from "../admin/admin.ts";
import type { Config } from "../config/config.ts";
import { systemClock } from "../runtime/clock.ts";
import { type HeartbeatSender, startHeartbeat } from "../fleet/heartbeat.ts";
import type { PolicyLife } from "../policy/life.ts";
import type { RedisStore } from "../redis/store.ts";
import { registry } from "../app/registry.ts";
import { SecretFiles } from "../app/secret-files.ts";
import { createLife, factsOf } from "../app/sidecar-policy.ts";
import { connectStore, redisCheck } from "../app/sidecar-store.ts";
import { bind } from "../config/start-error.ts";
import { mergeMetrics } from "../telemetry/metrics.ts";
import { createTelemetry, type Telemetry } from "../telemetry/process.ts";
import { removeStaleSocket } from "../files/unix-socket.ts";
import { UpstreamProbe } from "../app/upstream-probe.ts";
import { version } from "../version.ts";
import { Crew } from "./crew.ts";
import { Desk } from "./desk.ts";

export interface Primary {
  reportFault(kind: string, error: unknown, plugin?: string): void;
  /** Resolves with the exit code when the admin listener is told to end the process. */
  readonly ending: Promise<number>;
  /** Unready, has the workers drain within the configured limit, closes everything, flushes the log. */
  stop(): Promise<void>;
}

interface Parts {
  readonly telemetry: Telemetry;
  readonly crew: Crew;
  readonly life: PolicyLife;
  readonly admin: Admin;
  readonly ending: Promise<number>;
  beat(): void;
  close(): Promise<void>;
}

/** Rejects, with nothing left running, when a worker cannot serve or an address cannot be bound. */
export async function startPrimary(config: Config, count: number): Promise<Primary> {
  // In turn: left to the kernel, a burst of connections (a client's pool) often ends up with one worker, for good.
  cluster.schedulingPolicy = cluster.SCHED_RR;
  cluster.setupPrimary({ serialization: "advanced", stdio: ["ignore", "pipe", "inherit", "ipc"] });
  if ("path" in config.listen) await removeStaleSocket(config.listen.path);
  const parts = await assemble(config, count);
  const { telemetry, crew } = parts;
  // Also when a second signal ends this process at once.
  const killAll = (): void => crew.kill();
  process.once("exit", killAll);
  process.on("SIGHUP", () => crew.hangUp());
  try {
    // Health is answered while the policy is still on its way.
    const adminAddress = await bind("OUTRIGGER_ADMIN", config.admin, () => parts.admin.listen());
    await parts.life.start();
    parts.beat();
    logListening(telemetry, count, await crew.open(), adminAddress);
  } catch (error) {
    await crew.abandon();
    await parts.close();
    throw error;
  }
  return {
    reportFault: (kind, error, plugin) => telemetry.reportFault(kind, error, plugin),
    ending: parts.ending,
    async stop() {
      telemetry.logger.info({ inFlight: crew.state().inFlight }, "draining");
      await crew.stop();
      await parts.close();
    },
  };
}

function logListening(
  { logger }: Telemetry,
  workers: number,
  address: AddressInfo | string,
  admin: AddressInfo | string,
): void {
  logger.info({ version, workers, address: addressText(address), admin: addressText(admin) }, "listening");
}

async function assemble(config: Config, count: number): Promise<Parts> {
  const { service, instance, logLevel } = config;
  const telemetry = createTelemetry({ level: logLevel, service, instance, worker: "primary" });
  const { logger, metrics, output, level } = telemetry;
  const store = connectStore(config, telemetry);
  let heartbeat: HeartbeatSender | undefined;
  const life = await createLife(config, telemetry, registry, {
    store,
    clock: systemClock,
    compile: (_policy, _meta, raw) => crew.policy.prepare(raw),
    swap(prepared) {
      crew.policy.commit(prepared);
      heartbeat?.notice();
    },
    discard: (late) => crew.policy.discard(late),
    onRejected: () => heartbeat?.notice(),
  });
  // Last of what may fail: from here on processes run.
  const crew = new Crew({
    count,
    service,
    drainMs: Math.max(config.drainMs, config.drainMinMs),
    logger,
    metrics,
    output,
    level: () => level.get(),
    desk: new Desk(registry, systemClock),
  });
  const secretFiles = new SecretFiles(config, logger, { store });
  const ending = Promise.withResolvers<number>();
  const probe = UpstreamProbe.of(config, logger);
  const admin = adminOf(config, telemetry, { crew, life, store, ending, probe, secretFiles });
  return {
    telemetry,
    crew,
    life,
    admin,
    ending: ending.promise,
    beat() {
      if (store === undefined) return;
      heartbeat = startHeartbeat({
        ...factsOf(config, registry),
        store,
        status: () => life.status(),
        clock: systemClock,
        onSize: (size) => crew.setFleet(size),
      });
    },
    async close() {
      secretFiles.close();
      probe?.close();
      await heartbeat?.stop();
      await life.stop();
      await admin.close();
      store?.close();
      await output.flush(1_000);
    },
  };
}

interface AdminParts {
  readonly crew: Crew;
  readonly life: PolicyLife;
  readonly store: RedisStore | undefined;
  readonly ending: PromiseWithResolvers<number>;
  readonly probe: UpstreamProbe | undefined;
  readonly secretFiles: SecretFiles;
}

function adminOf(
  config: Config,
  { logger, metrics, level }: Telemetry,
  { crew, life, store, ending, probe, secretFiles }: AdminParts,
): Admin {
  return createAdmin({
    listen: config.admin,
    token: () => secretFiles.adminToken,
    logger,
    checks: () => [...checksOf(crew, life, store), ...(probe === undefined ? [] : [probe.check])],
    metrics: {
      contentType: metrics.contentType,
      async render() {
        const workers = await crew.metrics();
        return mergeMetrics(config.service, [await metrics.snapshot(), ...workers]);
      },
    },
    policyStatus: () => life.status(),
    logLevel: {
      get: () => level.get(),
      set(name) {
        const known = level.set(name);
        if (known) crew.broadcast({ type: "level", level: name });
        return known;
      },
    },
    drain: () => crew.beginDrain(),
    quit: () => ending.resolve(0),
    async extra(path) {
      const body = path.startsWith("/plugins/") ? await crew.document(path) : undefined;
      return body === undefined ? undefined : { contentType: "application/json", body };
    },
  });
}

function checksOf(crew: Crew, life: PolicyLife, store: RedisStore | undefined): Check[] {
  const { up, serving, behind, troubles } = crew.state();
  const detail = `${serving} serving${up ? "" : ", others still start"}${behind > 0 ? `, ${behind} of them without the policy in force` : ""}`;
  return [
    { name: "policy", ok: life.ready },
    { name: "workers", ok: up && serving > 0 && behind === 0, detail },
    { name: crew.draining ? "draining" : "not draining", ok: !crew.draining },
    ...redisCheck(store),
    // A plugin in trouble has its own fail mode.
    ...[...troubles].map(([name, trouble]) => ({ name: `plugin ${name}`, ok: true, detail: trouble })),
  ];
}
