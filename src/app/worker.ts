// A worker process: a data plane that serves by the policy that the primary hands it, and tells the primary what became
// of it.
import { textOf } from "../plugin-api/error-text.ts";
import type { Config } from "../config/config.ts";
import { version } from "../version.ts";
import { connectPrimary, type PrimaryLink } from "../workers/link.ts";
import { stateEveryMs, type ToWorker } from "../workers/messages.ts";
import { WorkerPolicies } from "../workers/worker-policies.ts";
import type { RoutedPolicy } from "../routing/routed-policy.ts";
import { drainLimits } from "../server/drain.ts";
import type { Telemetry } from "../telemetry/process.ts";
import { createDataPlane, type LocalDataPlane } from "./data-plane.ts";
import { fitDescriptors } from "./descriptors.ts";
import { createProcessContext } from "./process-context.ts";
import { createReader } from "./sidecar-policy.ts";

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
  const context = createProcessContext(config, { worker: String(welcome.number), logLevel: welcome.level });
  const { telemetry, store, registry } = context;
  const fitted = fitDescriptors(partOf(config, count), telemetry.logger);
  const data = createDataPlane(context, fitted.config, {
    workerCount: count,
    fleetSize: welcome.fleetSize,
    takeBacklog: () => link.closeSocket(drainLimits(config).mostMs),
    ...(store === undefined ? { workers: link } : {}),
  });
  const ending = Promise.withResolvers<number>();
  void link.lost.then(() => ending.resolve(0));
  const policies = new WorkerPolicies(await createReader(config, registry), data, link);
  link.listen((message) => {
    if (message.type === "stop") ending.resolve(0);
    else if (message.type !== "serve") obey(message, { telemetry, data, policies, link });
    else serve(data, link).catch((error: unknown) => ending.resolve(cannotServe(link, error)));
  });
  if (welcome.draining) data.beginDrain();
  const telling = setInterval(() => sendState(link, data), stateEveryMs);
  void link.send({ type: "ready" });
  return {
    ending: ending.promise,
    reportFault: (kind, error, plugin) => telemetry.reportFault(kind, error, plugin),
    async stop() {
      await data.drain();
      await data.close();
      clearInterval(telling);
      await sendMetrics(link, telemetry, 0);
      await context.close();
    },
  };
}

function obey(
  message: ToWorker,
  parts: {
    telemetry: Telemetry;
    data: LocalDataPlane;
    policies: WorkerPolicies<RoutedPolicy>;
    link: PrimaryLink;
  },
): void {
  const { telemetry, data, policies, link } = parts;
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
      data.beginDrain();
      return;
    case "metrics?":
      void sendMetrics(link, telemetry, message.id);
      return;
    case "document?":
      void link.send({ type: "document", id: message.id, body: data.document(message.path) });
      return;
    case "fleet":
      data.setFleetSize(message.size);
      return;
    case "welcome":
    case "serve":
    case "stop":
    case "closed":
    case "answer":
      throw new Error(`unexpected word of the primary: ${message.type}`);
  }
}

async function serve(data: LocalDataPlane, link: PrimaryLink): Promise<void> {
  void link.send({ type: "serving", address: await data.listen() });
}

/** @returns the exit code */
function cannotServe(link: PrimaryLink, error: unknown): number {
  void link.send({ type: "failed", message: textOf(error) });
  return 1;
}

function sendState(link: PrimaryLink, data: LocalDataPlane): void {
  void link.send({ type: "state", inFlight: data.inFlight, troubles: [...data.troubles()] });
}

/** @param id of the question; 0 = unasked */
async function sendMetrics(link: PrimaryLink, { metrics }: Telemetry, id: number): Promise<void> {
  await link.send({ type: "metrics", id, snapshot: await metrics.snapshot() });
}
