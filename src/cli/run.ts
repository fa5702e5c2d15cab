// Runs `outrigger run`: one sidecar from start to drain. Handles the signals and faults of its process.
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

/** A sidecar that is serving. */
export interface RunningSidecar {
  /** Becomes unready, drains, flushes the log. Takes hardly longer than the drain's limit. */
  stop(): Promise<void>;
  /** Reports faults to log and metrics, once these exist, in place of stderr. */
  readonly reportFault?: ReportFault;
  /** Resolves with an exit code when something other than a signal or a fault ends the sidecar. */
  readonly ending?: Promise<number>;
}

/** Starts a sidecar. Rejects when it cannot serve; with ConfigError when a setting is wrong. */
export type StartSidecar = (config: Config, role: Role) => Promise<RunningSidecar>;

/** How long the rest of the stop may take after the drain's own limit. */
const graceMs = 5000;

function tell(text: string): void {
  process.stderr.write(`${text}\n`);
}

function stackOf(error: unknown): string {
  return (error instanceof Error ? error.stack : undefined) ?? textOf(error);
}

/**
 * Waits for a reason to end. A second signal ends the process at once.
 * @param role a worker ignores signals, because a terminal sends them to all processes: its primary tells it when to
 * end
 * @returns the exit code for the reason
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
  // SIGQUIT is the signal by which nginx drains.
  process.on("SIGTERM", onSignal).on("SIGINT", onSignal).on("SIGQUIT", onSignal);
  // On a terminal: the terminal is gone, so end. Elsewhere: the watchers of files look again.
  process.on("SIGHUP", () => {
    if (process.stdout.isTTY) onSignal("SIGHUP");
  });
  // By default SIGUSR2 ends the process and SIGUSR1 opens the inspector.
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

/** The role of this process: the whole sidecar, or one of its several processes. */
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
 * Serves until a signal or a fault ends it; then the caller exits.
 * @returns the exit code: 0 = drained, 1 = fault, 2 = bad configuration (reported on stderr, one problem per line)
 */
export async function run(env: Environment, start: StartSidecar = startFromSource): Promise<number> {
  // The reader of stderr may go away: that must not end the process.
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
