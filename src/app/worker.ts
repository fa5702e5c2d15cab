// Runs a worker process: a data plane that serves by the policy that the primary hands it, and reports back to the
// primary.
import { textOf } from "../plugin-api/error-text.ts";
import type { Config } from "../config/config.ts";
import type { Drill } from "../drills/drill.ts";
import { parseFault } from "../drills/fault.ts";
import { version } from "../version.ts";
import { connectToPrimary, type IpcChannel } from "../workers/ipc-channel.ts";
import { stateEveryMs, type ToldToAll, type ToWorker } from "../workers/messages.ts";
import { WorkerPolicies } from "../workers/worker-policies.ts";
import type { RoutedPolicy } from "../routing/routed-policy.ts";
import { drainLimits } from "../server/drain.ts";
import type { Telemetry } from "../telemetry/process.ts";
import { createDataPlane, type LocalDataPlane } from "./data-plane.ts";
import { fitDescriptors } from "./descriptors.ts";
import { createTrust, type PolicyReader } from "../policy/read.ts";
import { createProcessContext } from "./process-context.ts";
import { ToldTaps } from "./taps.ts";
import { createReader } from "./policy-controller.ts";

export interface RunningWorker {
  /** Resolves with the exit code when the primary tells the worker to stop, or is gone. */
  readonly ending: Promise<number>;
  reportFault(kind: string, error: unknown, plugin?: string): void;
  stop(): Promise<void>;
}

/** Gives one worker its share of each limit that holds for the whole sidecar. */
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

type TakeKeySets = (keySets: readonly Uint8Array[]) => Promise<void>;

/** @returns a function that applies the key set documents, one message after the other */
async function trusterOf({ policyKeys }: Config, data: LocalDataPlane): Promise<TakeKeySets> {
  const trust = policyKeys && (await createTrust(policyKeys));
  let last = Promise.resolve();
  return (keySets) =>
    (last = last.then(async () => {
      if (trust !== undefined) data.trust(await trust(keySets));
    }));
}

/**
 * Rejects when a file that the settings name cannot be read. An address that cannot be bound is reported to the primary
 * instead.
 */
export async function startWorker(config: Config, count: number): Promise<RunningWorker> {
  const channel = connectToPrimary();
  void channel.send({ type: "hello", version });
  const welcome = await channel.welcome;
  const context = createProcessContext(config, { worker: String(welcome.number), logLevel: welcome.level });
  const { telemetry, store, registry, packages } = context;
  const fitted = fitDescriptors(partOf(config, count), telemetry.logger);
  const data = createDataPlane(context, fitted.config, {
    workerCount: count,
    fleetSize: welcome.fleetSize,
    takeBacklog: () => channel.closeSocket(drainLimits(config).maxMs),
    ...(store === undefined ? { workers: channel } : {}),
  });
  const ending = Promise.withResolvers<number>();
  void channel.disconnected.then(() => ending.resolve(0));
  const taps = new ToldTaps();
  const read = await createReader(config, registry, packages);
  const policies = new WorkerPolicies(read, data, channel);
  const tries = (told: ToldToAll["trial"]): void => tryCandidate(data, read, told);
  const trust = await trusterOf(config, data);
  await trust(welcome.keySets);
  const parts = { telemetry, data, policies, channel, trust, taps, tries, drill: context.drill };
  channel.listen((message) => {
    if (message.type === "stop") ending.resolve(0);
    else if (message.type !== "serve") handleMessage(message, parts);
    else serve(data, channel).catch((error: unknown) => ending.resolve(cannotServe(channel, error)));
  });
  takeWelcome(welcome, parts);
  data.whenInTrouble(() => sendState(channel, data));
  const telling = setInterval(() => sendState(channel, data), stateEveryMs);
  void channel.send({ type: "ready" });
  return {
    ending: ending.promise,
    reportFault: (kind, error, plugin) => telemetry.reportFault(kind, error, plugin),
    async stop() {
      await data.drain();
      await data.close();
      clearInterval(telling);
      await sendMetrics(channel, telemetry, 0);
      await context.close();
    },
  };
}

interface WorkerParts {
  readonly telemetry: Telemetry;
  readonly data: LocalDataPlane;
  readonly policies: WorkerPolicies<RoutedPolicy>;
  readonly channel: IpcChannel;
  readonly trust: TakeKeySets;
  readonly taps: ToldTaps;
  readonly drill: Drill | undefined;
  readonly tries: (told: ToldToAll["trial"]) => void;
}

function handleMessage(message: ToWorker, parts: WorkerParts): void {
  const { data, policies, channel } = parts;
  switch (message.type) {
    case "prepare":
    case "commit":
    case "abort":
      handleRound(message, policies);
      return;
    case "drain":
      data.beginDrain();
      return;
    case "metrics?":
    case "document?":
    case "plugins?":
    case "requests?":
      answer(message, parts);
      return;
    case "tap":
      parts.taps.start(message, data, channel);
      return;
    case "untap":
      parts.taps.end(message.id);
      return;
    case "level":
    case "fleet":
    case "disabled":
    case "trust":
    case "trial":
    case "drill":
      handleTold(message, parts);
      return;
    case "welcome":
    case "serve":
    case "stop":
    case "closed":
    case "response":
      throw new Error(`unexpected message of the primary: ${message.type}`);
  }
}

/** Applies the state that the welcome message carries. */
function takeWelcome(welcome: ToldToAll, { data, tries, drill }: WorkerParts): void {
  data.switchOff(welcome.switches);
  tries(welcome.trial);
  takeDrill(drill, welcome.drill);
  if (welcome.draining) data.beginDrain();
}

/** Applies a change that the primary announces. */
function handleTold(
  message: Extract<ToWorker, { type: "level" | "fleet" | "disabled" | "trust" | "trial" | "drill" }>,
  { telemetry, data, trust, tries, drill }: WorkerParts,
): void {
  if (message.type === "level") telemetry.level.set(message.level);
  else if (message.type === "fleet") data.setFleetSize(message.size);
  else if (message.type === "disabled") data.switchOff(message.switches);
  else if (message.type === "trust") void trust(message.keySets);
  else if (message.type === "drill") takeDrill(drill, message.drill);
  else tries(message.trial);
}

function takeDrill(drill: Drill | undefined, told: ToldToAll["drill"]): void {
  const fault = told && parseFault(told.fault);
  if (told === undefined || fault === undefined) drill?.end();
  else drill?.begin(fault, told.forMs);
}

/** Answers a question of the primary. */
function answer(
  message: Extract<ToWorker, { type: "metrics?" | "document?" | "plugins?" | "requests?" }>,
  { telemetry, data, channel }: WorkerParts,
): void {
  const { id } = message;
  if (message.type === "metrics?") void sendMetrics(channel, telemetry, id);
  else if (message.type === "plugins?") void sendPlugins(channel, data, id);
  else if (message.type === "requests?") void sendRequests(channel, data, message);
  else void channel.send({ type: "document", id, body: data.document(message.path) });
}

function tryCandidate(data: LocalDataPlane, read: PolicyReader, told: ToldToAll["trial"]): void {
  const { wish, raw } = told ?? {};
  if (wish !== undefined && raw !== undefined) data.tryRead(wish, () => read(raw));
  else data.tryCandidate(wish);
}

/** Takes part in a round by which the primary puts one policy in force in all workers. */
function handleRound(
  message: Extract<ToWorker, { type: "prepare" | "commit" | "abort" }>,
  policies: WorkerPolicies<RoutedPolicy>,
): void {
  if (message.type === "prepare") void policies.prepare(message);
  else if (message.type === "commit") policies.commit(message.id);
  else policies.abort(message.id);
}

async function serve(data: LocalDataPlane, channel: IpcChannel): Promise<void> {
  void channel.send({ type: "serving", addresses: await data.listen() });
}

/** @returns the exit code */
function cannotServe(channel: IpcChannel, error: unknown): number {
  void channel.send({ type: "failed", message: textOf(error) });
  return 1;
}

function sendState(channel: IpcChannel, data: LocalDataPlane): void {
  void channel.send({
    type: "state",
    inFlight: data.inFlight,
    troubles: [...data.troubles()],
    trial: data.trial(),
  });
}

async function sendPlugins(channel: IpcChannel, data: LocalDataPlane, id: number): Promise<void> {
  await channel.send({ type: "plugins", id, reports: [...(await data.plugins())] });
}

async function sendRequests(
  channel: IpcChannel,
  data: LocalDataPlane,
  { id, requestId }: Extract<ToWorker, { type: "requests?" }>,
): Promise<void> {
  await channel.send({ type: "requests", id, found: [...(await data.requests(requestId))] });
}

/** @param id id of the primary's request; 0 = sent without a request */
async function sendMetrics(channel: IpcChannel, { metrics }: Telemetry, id: number): Promise<void> {
  await channel.send({ type: "metrics", id, snapshot: await metrics.snapshot() });
}
