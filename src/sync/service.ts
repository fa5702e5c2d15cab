// A sync that runs until it is stopped: its loop, its log, its metrics and its health.
import { randomUUID } from "node:crypto";
import { createHealthListener, type HealthListener } from "../admin/health-listener.ts";
import type { ListenAddress } from "../config/formats.ts";
import { bind } from "../config/start-error.ts";
import type { LogFormat, Logger } from "../plugin-api/telemetry.ts";
import type { Store } from "../plugin-api/store.ts";
import { createLogging } from "../telemetry/logger.ts";
import { createMetrics, type MetricsRegistry } from "../telemetry/metrics.ts";
import { Lease } from "./lease.ts";
import { type LoopOptions, runLoop } from "./loop.ts";
import { type PolicyPlace, Reconciler } from "./reconcile.ts";
import type { DeclaredSource } from "./source.ts";
import { createSyncMetrics } from "./sync-metrics.ts";
import { tellBy, ToldOutcomes } from "./told.ts";

export interface SyncServiceOptions {
  readonly source: DeclaredSource;
  readonly place: PolicyPlace;
  readonly store: Store;
  readonly selfHeal: boolean;
  readonly everyMs: number;
  readonly listen: ListenAddress;
  readonly token: string | undefined;
  /** Names this sync among others, and in its log. */
  readonly instance: string;
  readonly logLevel: string;
  readonly logFormat: LogFormat;
  readonly out: (text: string) => void;
}

/** Runs until the signal aborts. Rejects with StartError when it cannot listen. */
export async function runSync(options: SyncServiceOptions, signal: AbortSignal): Promise<void> {
  const { source, store, instance, out, selfHeal, everyMs } = options;
  const { logger } = createLogging({
    level: options.logLevel,
    format: options.logFormat,
    service: "sync",
    instance,
    output: { write: out, flush: () => Promise.resolve(true) },
  });
  const metrics = createMetrics({ service: "sync" });
  const measured = createSyncMetrics(metrics);
  const lease = new Lease(store, `${instance}/${randomUUID()}`);
  const told = new ToldOutcomes(logger);
  const tell = tellBy(logger, measured.changed);
  const reconciler = new Reconciler({ place: options.place, selfHeal, mayWrite: () => lease.isHeld, tell });
  metrics.onRender(() => measured.look(source.state.ok, lease.isHeld, told.last));
  const health = healthOf(options, { logger, metrics, lease, told });
  const address = await bind("OUTRIGGER_ADMIN", options.listen, () => health.listen());
  logger.info({ source: source.name, health: address }, "sync runs");
  const onPass: LoopOptions["onPass"] = (outcomes, problem) => {
    const { ok, detail, leftOut = "" } = source.state;
    told.take(outcomes, problem ?? (ok ? undefined : detail), ok);
    told.takeLeftOut(leftOut);
    if (outcomes !== undefined && problem === undefined) measured.passed(Date.now());
  };
  const onLeading: LoopOptions["onLeading"] = (leads, leader) => told.takeLeading(leads, leader);
  try {
    await runLoop({ source, lease, reconciler, everyMs, onPass, onLeading }, signal);
  } finally {
    await health.close();
  }
}

interface Shown {
  readonly logger: Logger;
  readonly metrics: MetricsRegistry;
  readonly lease: Lease;
  readonly told: ToldOutcomes;
}

function healthOf(
  { source, store, listen, token, instance }: SyncServiceOptions,
  { logger, metrics, lease, told }: Shown,
): HealthListener {
  return createHealthListener({
    listen,
    logger,
    metrics,
    token: () => token,
    checks: () => [
      { name: "source", ...source.state },
      { name: "redis", ok: store.up },
    ],
    state: {
      path: "/sync",
      show: () => ({
        source: { name: source.name, ...source.state },
        leads: lease.isHeld,
        leader: lease.other ?? instance,
        documents: told.documents,
      }),
    },
  });
}
