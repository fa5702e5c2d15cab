// `outrigger run`: one sidecar from start to drain, with the signals and faults of its process.
import { OverLimit, withinLimit } from "../plugin-api/within-limit.ts";
import { textOf } from "../plugin-api/error-text.ts";
import { availableParallelism, constants } from "node:os";
import { loadConfig } from "../app/environment.ts";
import { type Config, ConfigError, type Environment } from "../config/config.ts";
import { pluginAtFault } from "../runtime/plugin-faults.ts";
import { makeGlobalsPlain } from "../v8/plain-globals.ts";
import { releaseMemory } from "../v8/release-memory.ts";
import { StartError } from "../config/start-error.ts";
import { passedSockets, serviceManager } from "./service-manager.ts";
import { FaultJudge, type FaultKind, type ReportFault } from "./faults.ts";

/** A sidecar that serves. */
export interface RunningSidecar {
  /** Unready, drains, flushes its log; ends within the drain's limit and a little. */
  stop(): Promise<void>;
  /** Takes over from stderr once there is a log and a metric. */
  readonly reportFault?: ReportFault;
  /** Resolves with an exit code when something else than a signal or a fault ends it. */
  readonly ending?: Promise<number>;
}

/** Rejects when it cannot serve: ConfigError when a setting is at fault. */
export type StartSidecar = (config: Config, role: Role) => Promise<RunningSidecar>;

/** How long past the drain's own limit the rest of the stop may take. */
const graceMs = 5000;

function tell(text: string): void {
  process.stderr.write(`${text}\n`);
}

function stackOf(error: unknown): string {
  return (error instanceof Error ? error.stack : undefined) ?? textOf(error);
}

/**
 * Waits for a reason to end; a second signal ends the process at once.
 * @param role a worker leaves signals, which a terminal sends to all processes, to its primary
 * @returns the exit code that the reason asks for
 */
function untilEnding(report: ReportFault, role: Role): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  let signalled = false;
  const onSignal = (signal: "SIGTERM" | "SIGINT" | "SIGQUIT" | "SIGHUP"): void => {
    if (role === "worker") return;
    if (signalled) process.exit(128 + constants.signals[signal]);
    signalled = true;
    resolve(0);
  };
  // SIGQUIT is how nginx is asked to drain.
  process.on("SIGTERM", onSignal).on("SIGINT", onSignal).on("SIGQUIT", onSignal);
  // On a terminal that is gone; elsewhere whoever watches a file looks at it again.
  process.on("SIGHUP", () => {
    if (process.stdout.isTTY) onSignal("SIGHUP");
  });
  // Their default is the end, or an inspector.
  process.on("SIGUSR1", () => {}).on("SIGUSR2", () => {});
  const judge = new FaultJudge();
  const onFault = (kind: FaultKind, error: unknown): void => {
    const nowMono = performance.now();
    const plugin = pluginAtFault();
    if (plugin === undefined || plugin.threw(nowMono)) report(kind, error, plugin?.name);
    if (judge.isFatal(kind, error, nowMono, plugin !== undefined)) resolve(1);
  };
  process.on("uncaughtException", (error) => onFault("uncaughtException", error));
  process.on("unhandledRejection", (error) => onFault("unhandledRejection", error));
  return promise;
}

/** @returns the exit code */
async function stopWithin(sidecar: RunningSidecar, limitMs: number): Promise<number> {
  try {
    await withinLimit(sidecar.stop(), limitMs, `not stopped after ${limitMs} ms`);
    return 0;
  } catch (error) {
    tell(`outrigger: ${error instanceof OverLimit ? error.message : `stopping failed: ${stackOf(error)}`}`);
    return 1;
  }
}

/** What this process is: the whole sidecar, or one of several that are. */
type Role = "alone" | "primary" | "worker";

function workersOf({ workers }: Config): number {
  return workers === "auto" ? availableParallelism() : workers;
}

async function roleOf(config: Config): Promise<Role> {
  if (workersOf(config) === 1) return "alone";
  const { default: cluster } = await import("node:cluster");
  return cluster.isPrimary ? "primary" : "worker";
}

async function startFromSource(config: Config, role: Role): Promise<RunningSidecar> {
  if (role === "alone") return (await import("../app/sidecar.ts")).startSidecar(config);
  if (role === "primary") return (await import("../app/primary.ts")).startPrimary(config, workersOf(config));
  return (await import("../app/worker.ts")).startWorker(config, workersOf(config));
}

/**
 * Serves until a signal or a fault ends it; the caller exits then.
 * @returns the exit code: 0 drained, 1 fault, 2 bad configuration (told on stderr, a problem a line)
 */
export async function run(env: Environment, start: StartSidecar = startFromSource): Promise<number> {
  // Whoever reads stderr may leave; that is no reason to end.
  process.stderr.on("error", () => undefined);
  makeGlobalsPlain();
  let sidecar: RunningSidecar | undefined;
  const report: ReportFault = (kind, error, plugin) => {
    if (sidecar?.reportFault === undefined) tell(`outrigger: ${kind}: ${stackOf(error)}`);
    else sidecar.reportFault(kind, error, plugin);
  };
  try {
    const settings = loadConfig(env);
    const role = await roleOf(settings);
    const isWorker = role === "worker";
    const passed = passedSockets(env, isWorker ? process.ppid : process.pid);
    const config = { ...settings, passed };
    const ending = untilEnding(report, role);
    sidecar = await start(config, role);
    const manager = serviceManager(isWorker ? {} : env, (text) => tell(`outrigger: ${text}`));
    manager.ready();
    setTimeout(releaseMemory, 250).unref();
    const code = await Promise.race([ending, ...(sidecar.ending === undefined ? [] : [sidecar.ending])]);
    manager.stopping();
    return Math.max(code, await stopWithin(sidecar, Math.max(config.drainMs, config.drainMinMs) + graceMs));
  } catch (error) {
    if (error instanceof ConfigError) {
      tell(error.message);
      return 2;
    }
    if (error instanceof StartError) tell(error.message);
    else tell(`outrigger: cannot start: ${stackOf(error)}`);
    return 1;
  }
}
