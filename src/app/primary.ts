// Runs the process above the workers: it has the control plane and the only stdout, and the workers serve.
import cluster from "node:cluster";
import type { Config } from "../config/config.ts";
import { removeStaleSockets } from "../files/unix-socket.ts";
import { addressesText, addressText } from "../language/address-text.ts";
import { drainLimits } from "../server/drain.ts";
import { mergeReports, pluginReport } from "../runtime/plugin-report.ts";
import { mergeMetrics } from "../telemetry/metrics.ts";
import { isSingleExecutable } from "../v8/single-executable.ts";
import { version } from "../version.ts";
import { WorkerPool } from "../workers/worker-pool.ts";
import { SharedStateServer } from "../workers/shared-state-server.ts";
import type { PreparedPolicy } from "../workers/prepare-round.ts";
import { placesOf } from "./client-listener.ts";
import { type ControlPlane, createControlPlane } from "./control-plane.ts";
import type { DataPlane } from "./governed.ts";
import { primaryName } from "./primary-name.ts";
import { createProcessContext, type ProcessContext } from "./process-context.ts";

export interface Primary {
  reportFault(kind: string, error: unknown, plugin?: string): void;
  /** Resolves with the exit code when the admin listener is told to end the process. */
  readonly ending: Promise<number>;
  /** Becomes unready, lets the workers drain within the configured limit, closes everything, flushes the log. */
  stop(): Promise<void>;
}

/** Rejects, leaving nothing running, when a worker cannot serve or an address cannot be bound. */
export async function startPrimary(config: Config, count: number): Promise<Primary> {
  // Round robin: the kernel often gives a burst of connections (a client's pool) to one worker for good.
  cluster.schedulingPolicy = cluster.SCHED_RR;
  cluster.setupPrimary({
    serialization: "advanced",
    stdio: ["ignore", "pipe", "inherit", "ipc"],
    // A single executable has Node's flags built in, and would take these for its own arguments.
    ...(isSingleExecutable ? { execArgv: [] } : {}),
  });
  await removeStaleSockets(placesOf(config));
  const context = createProcessContext(config, { worker: primaryName });
  const { logger } = context.telemetry;
  const pool = poolOf(context, count);
  let control: ControlPlane | undefined;
  const close = async (): Promise<void> => {
    await control?.stop();
    await control?.close();
    await context.close();
  };
  try {
    control = await createControlPlane(context, dataPlaneOf(context, pool));
    // Comes after the steps above, which may fail, because from here on worker processes run. They are killed on
    // `exit`, so also when a second signal ends this process at once.
    process.once("exit", () => pool.kill());
    process.on("SIGHUP", () => pool.hangUp());
    pool.start();
    const admin = await control.start();
    const addresses = await pool.open();
    logger.info(
      { version, workers: count, address: addressesText(addresses), admin: addressText(admin) },
      "listening",
    );
  } catch (error) {
    await pool.abandon();
    await close();
    throw error;
  }
  return {
    reportFault: (kind, error, plugin) => context.telemetry.reportFault(kind, error, plugin),
    ending: control.ending,
    async stop() {
      logger.info({ inFlight: pool.state().inFlight }, "draining");
      await pool.stop();
      await close();
    },
  };
}

function poolOf({ config, telemetry, registry, clock }: ProcessContext, count: number): WorkerPool {
  const { logger, metrics, output, level } = telemetry;
  return new WorkerPool({
    count,
    service: config.service,
    drain: drainLimits(config),
    logger,
    metrics,
    output,
    level: () => level.get(),
    sharedState: new SharedStateServer(registry, clock),
  });
}

/** Presents the workers as one data plane. */
function dataPlaneOf({ config, telemetry }: ProcessContext, pool: WorkerPool): DataPlane<PreparedPolicy> {
  const { metrics } = telemetry;
  const snapshots = async () => [await metrics.snapshot(), ...(await pool.metrics())];
  return {
    // Each worker reads the policy for itself.
    compile: (_policy, raw) => pool.policy.prepare(raw),
    swap: (prepared) => pool.policy.commit(prepared),
    release: (late) => pool.policy.abort(late),
    // Keys are not passed between processes: each finds them in the key documents.
    trust: ({ keySets }) => pool.told.trust(keySets),
    setFleetSize: (sidecars) => pool.told.setFleet(sidecars),
    switchOff: (switches) => pool.told.switchOff(switches),
    tryCandidate: (wish, candidate) => pool.tryCandidate(wish && { wish, raw: candidate?.raw }),
    trial: () => pool.trial(),
    whenInTrouble: (listener) => void (pool.onTrouble = listener),
    onLogLevel: (level) => pool.told.broadcast({ type: "level", level }),
    tellDrill: (drill) => pool.told.tellDrill(drill),
    get draining() {
      return pool.draining;
    },
    beginDrain: () => pool.told.beginDrain(),
    check() {
      const { up, serving, behind } = pool.state();
      const detail = `${serving} serving${up ? "" : ", others still start"}${behind > 0 ? `, ${behind} of them without the policy in force` : ""}`;
      return { name: "workers", ok: up && serving > 0 && behind === 0, detail };
    },
    troubles: () => pool.state().troubles,
    metricsSnapshots: snapshots,
    renderMetrics: async (open = false) => mergeMetrics(config.service, await snapshots(), { open }),
    plugins: async () =>
      mergeReports((await pool.asked.plugins()).map((report) => pluginReport.parse(report))),
    tap: (request, onEvent) => pool.taps.start(request, onEvent),
    requests: (id) => pool.asked.requests(id),
    document: (path) => (path.startsWith("/plugins/") ? pool.asked.document(path) : undefined),
  };
}
