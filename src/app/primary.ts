// The process above the workers: it has the control plane and the one stdout; the workers serve.
import cluster from "node:cluster";
import type { Config } from "../config/config.ts";
import { removeStaleSocket } from "../files/unix-socket.ts";
import { addressText } from "../language/address-text.ts";
import { drainLimits } from "../server/drain.ts";
import { mergeMetrics } from "../telemetry/metrics.ts";
import { version } from "../version.ts";
import { Crew } from "../workers/crew.ts";
import { Desk } from "../workers/desk.ts";
import type { PreparedPolicy } from "../workers/vote.ts";
import { type ControlPlane, createControlPlane, type DataPlane } from "./control-plane.ts";
import { createProcessContext, type ProcessContext } from "./process-context.ts";

export interface Primary {
  reportFault(kind: string, error: unknown, plugin?: string): void;
  /** Resolves with the exit code when the admin listener is told to end the process. */
  readonly ending: Promise<number>;
  /** Unready, has the workers drain within the configured limit, closes everything, flushes the log. */
  stop(): Promise<void>;
}

/** Rejects, with nothing left running, when a worker cannot serve or an address cannot be bound. */
export async function startPrimary(config: Config, count: number): Promise<Primary> {
  // In turn: left to the kernel, a burst of connections (a client's pool) often ends up with one worker, for good.
  cluster.schedulingPolicy = cluster.SCHED_RR;
  cluster.setupPrimary({ serialization: "advanced", stdio: ["ignore", "pipe", "inherit", "ipc"] });
  if ("path" in config.listen) await removeStaleSocket(config.listen.path);
  const context = createProcessContext(config, { worker: "primary" });
  const { logger } = context.telemetry;
  const crew = crewOf(context, count);
  let control: ControlPlane | undefined;
  const close = async (): Promise<void> => {
    await control?.stop();
    await control?.close();
    await context.close();
  };
  try {
    control = await createControlPlane(context, dataPlaneOf(context, crew));
    // Last of what may fail: from here on processes run. Also when a second signal ends this process at once.
    process.once("exit", () => crew.kill());
    process.on("SIGHUP", () => crew.hangUp());
    crew.start();
    const admin = await control.start();
    const address = await crew.open();
    logger.info(
      { version, workers: count, address: addressText(address), admin: addressText(admin) },
      "listening",
    );
  } catch (error) {
    await crew.abandon();
    await close();
    throw error;
  }
  return {
    reportFault: (kind, error, plugin) => context.telemetry.reportFault(kind, error, plugin),
    ending: control.ending,
    async stop() {
      logger.info({ inFlight: crew.state().inFlight }, "draining");
      await crew.stop();
      await close();
    },
  };
}

function crewOf({ config, telemetry, registry, clock }: ProcessContext, count: number): Crew {
  const { logger, metrics, output, level } = telemetry;
  return new Crew({
    count,
    service: config.service,
    drain: drainLimits(config),
    logger,
    metrics,
    output,
    level: () => level.get(),
    desk: new Desk(registry, clock),
  });
}

/** The workers as one data plane. */
function dataPlaneOf({ config, telemetry }: ProcessContext, crew: Crew): DataPlane<PreparedPolicy> {
  const { metrics } = telemetry;
  return {
    // Each worker reads it for itself.
    compile: (_policy, raw) => crew.policy.prepare(raw),
    swap: (prepared) => crew.policy.commit(prepared),
    discard: (late) => crew.policy.discard(late),
    setFleetSize: (sidecars) => crew.setFleet(sidecars),
    onLogLevel: (level) => crew.broadcast({ type: "level", level }),
    get draining() {
      return crew.draining;
    },
    beginDrain: () => crew.beginDrain(),
    check() {
      const { up, serving, behind } = crew.state();
      const detail = `${serving} serving${up ? "" : ", others still start"}${behind > 0 ? `, ${behind} of them without the policy in force` : ""}`;
      return { name: "workers", ok: up && serving > 0 && behind === 0, detail };
    },
    troubles: () => crew.state().troubles,
    async renderMetrics() {
      const workers = await crew.metrics();
      return mergeMetrics(config.service, [await metrics.snapshot(), ...workers]);
    },
    document: (path) => (path.startsWith("/plugins/") ? crew.document(path) : undefined),
  };
}
