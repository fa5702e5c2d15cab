// A worker process: serves by the policy that the primary hands it, and tells the primary what became of it.
import type { Config } from "../config/config.ts";
import { fitDescriptors } from "../app/descriptors.ts";
import { systemClock } from "../runtime/clock.ts";
import { registry } from "../app/registry.ts";
import { SecretFiles } from "../app/secret-files.ts";
import { createServing, type Serving } from "../app/serving.ts";
import { createReader } from "../app/sidecar-policy.ts";
import { connectStore } from "../app/sidecar-store.ts";
import { bind } from "../config/start-error.ts";
import { createTelemetry, type Telemetry } from "../telemetry/process.ts";
import { version } from "../version.ts";
import { connectPrimary, type PrimaryLink } from "./link.ts";
import { stateEveryMs, type ToWorker } from "./messages.ts";
import { WorkerPolicies } from "./worker-policies.ts";

export interface RunningWorker {
  /** Resolves with the exit code when the primary says so, or is gone. */
  readonly ending: Promise<number>;
  reportFault(kind: string, error: unknown, plugin?: string): void;
  stop(): Promise<void>;
}

/** One worker's part of what is bounded for the whole sidecar. */
function partOf(config: Config, count: number): Config {
  const part = (whole: number): number => Math.max(1, Math.floor(whole / count));
  return {
    ...config,
    upstreamConnections: part(config.upstreamConnections),
    upstreamUpgrades: Math.floor(config.upstreamUpgrades / count),
    upstreamQueue: Math.floor(config.upstreamQueue / count),
    maxConnections: part(config.maxConnections),
    bufferBytes: part(config.bufferBytes),
  };
}

/** Rejects when a file that the settings name cannot be read; what cannot be bound is told to the primary. */
export async function startWorker(config: Config, count: number): Promise<RunningWorker> {
  const link = connectPrimary();
  void link.send({ type: "hello", version });
  const welcome = await link.welcome;
  const { service, instance } = config;
  const worker = String(welcome.number);
  const telemetry = createTelemetry({ level: welcome.level, service, instance, worker });
  const store = connectStore(config, telemetry);
  let { fleetSize } = welcome;
  const workers = store === undefined ? { workers: link } : {};
  const parts = {
    store,
    clock: systemClock,
    registry,
    fleetSize: () => fleetSize,
    workerCount: count,
    ...workers,
  };
  const fitted = fitDescriptors(partOf(config, count), telemetry.logger);
  const serving = createServing(fitted.config, telemetry, parts);
  const { listener } = serving;
  // One too many is closed; by default it would be handed round between full workers without end (Node 26.10).
  Object.assign(listener.server, { dropMaxConnection: true });
  const ending = Promise.withResolvers<number>();
  void link.lost.then(() => ending.resolve(0));
  const policies = new WorkerPolicies(await createReader(config, registry), serving, link);
  link.listen((message) => {
    if (message.type === "stop") ending.resolve(0);
    else if (message.type === "fleet") fleetSize = message.size;
    else if (message.type !== "serve") obey(message, { telemetry, serving, policies, link });
    else serve(serving, config, link).catch((error: unknown) => ending.resolve(cannotServe(link, error)));
  });
  const secretFiles = new SecretFiles(config, telemetry.logger, { store, serving });
  if (welcome.draining) listener.beginDrain();
  const telling = setInterval(() => sendState(link, serving), stateEveryMs);
  void link.send({ type: "ready" });
  return {
    ending: ending.promise,
    reportFault: (kind, error, plugin) => telemetry.reportFault(kind, error, plugin),
    async stop() {
      await listener.drain({
        mostMs: Math.max(config.drainMs, config.drainMinMs),
        leastMs: config.drainMinMs,
      });
      secretFiles.close();
      await serving.close();
      store?.close();
      clearInterval(telling);
      await sendMetrics(link, telemetry, 0);
      await telemetry.output.flush(1_000);
    },
  };
}

function obey(
  message: ToWorker,
  parts: { telemetry: Telemetry; serving: Serving; policies: WorkerPolicies; link: PrimaryLink },
): void {
  const { telemetry, serving, policies, link } = parts;
  switch (message.type) {
    case "prepare":
      void policies.prepare(message);
      return;
    case "commit":
      policies.commit(message.id);
      return;
    case "forget":
      policies.forget(message.id);
      return;
    case "level":
      telemetry.level.set(message.level);
      return;
    case "drain":
      serving.listener.beginDrain();
      return;
    case "metrics?":
      void sendMetrics(link, telemetry, message.id);
      return;
    case "document?": {
      const body = serving.policy()?.snapshot.document(message.path);
      void link.send({ type: "document", id: message.id, body });
      return;
    }
    case "welcome":
    case "serve":
    case "fleet":
    case "stop":
    case "answer":
      throw new Error(`unexpected word of the primary: ${message.type}`);
  }
}

async function serve({ listener }: Serving, { listen }: Config, link: PrimaryLink): Promise<void> {
  const address = await bind("OUTRIGGER_LISTEN", listen, () => listener.listen());
  void link.send({ type: "serving", address });
}

/** @returns the exit code */
function cannotServe(link: PrimaryLink, error: unknown): number {
  void link.send({ type: "failed", message: error instanceof Error ? error.message : String(error) });
  return 1;
}

function sendState(link: PrimaryLink, serving: Serving): void {
  const troubles = [...(serving.policy()?.snapshot.health() ?? [])];
  void link.send({ type: "state", inFlight: serving.listener.inFlight, troubles });
}

/** @param id of the question; 0 = unasked */
async function sendMetrics(link: PrimaryLink, { metrics }: Telemetry, id: number): Promise<void> {
  await link.send({ type: "metrics", id, snapshot: await metrics.snapshot() });
}
