// Starts the bench's processes: pinned to cores, measured through /proc, and never left behind.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";

export interface StartOptions {
  /** List of cores for taskset; undefined = where this process runs. */
  readonly cores: string | undefined;
  readonly env?: Readonly<Record<string, string>>;
}

export interface Started {
  readonly pid: number;
  /** Resolves with the match once stdout or stderr contains it. Rejects if the process ends before, or after 20 s. */
  said(pattern: RegExp): Promise<RegExpExecArray>;
  /** Resolves with all of stdout when the process has ended. Rejects on any exit code but 0. */
  readonly end: Promise<string>;
  endInput(): void;
  /** Sends SIGINT. */
  interrupt(): void;
  /** The last output, if the process has ended. */
  lastWords(): string | undefined;
  /** Sends SIGTERM, and after 3 s SIGKILL, to the process and all its children. */
  stop(): Promise<void>;
}

const live = new Map<ChildProcess, Promise<string>>();

const project = join(import.meta.dirname, "../..");

/** Folder for temporary files of this run; removed at its end. */
export const folder = mkdtempSync(join(tmpdir(), "outrigger-bench-"));

/** Output beyond this is read and dropped: access logs need a reader. */
const keptChars = 65_536;

process.on("exit", () => {
  for (const child of live.keys()) signalGroup(child, "SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

let interruption: Promise<never> | undefined;

/** After Ctrl-C, this process ends once all others have. Callers that see them end early wait here. */
export async function unlessInterrupted(): Promise<void> {
  await interruption;
}

async function endAll(signal: NodeJS.Signals): Promise<never> {
  await Promise.all([...live].map(([child, end]) => stopGroup(child, end)));
  return process.exit(128 + constants.signals[signal]);
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => void (interruption ??= endAll(signal)));
}

/**
 * Starts a program in the project's folder as the leader of its own process group. It gets nothing of this environment
 * but PATH.
 */
export function start(command: string, args: readonly string[], options: StartOptions): Started {
  if (interruption !== undefined) throw new Error("interrupted");
  const { cores, env } = options;
  const line = cores === undefined ? [command, ...args] : ["taskset", "-c", cores, command, ...args];
  const child = spawn(line[0] as string, line.slice(1), {
    detached: true,
    cwd: project,
    stdio: ["pipe", "pipe", "pipe"],
    env: { PATH: process.env["PATH"], ...env },
  });
  let stdout = "";
  let stderr = "";
  let latest = "";
  child.stdout.on("data", (chunk: Buffer) => {
    if (stdout.length < keptChars) stdout += chunk.toString();
    latest = chunk.subarray(-1_000).toString();
  });
  child.stderr.on("data", (chunk: Buffer) => (stderr = (stderr + chunk.toString()).slice(-keptChars)));
  child.stdin.on("error", () => {}); // the process ended without reading
  const end = once(child, "close").then(([code, signal]) => {
    live.delete(child);
    if (code === 0) return stdout;
    throw new Error(`${command} ended with ${String(signal ?? code)}: ${(stderr || stdout).slice(-2000)}`);
  });
  end.catch(() => {}); // callers that wait get the error; nothing waits for a stopped contender
  live.set(child, end);
  return {
    pid: child.pid as number,
    end,
    lastWords: () => (live.has(child) ? undefined : `${latest}${stderr.slice(-1_000)}`),
    endInput: () => void child.stdin.end(),
    interrupt: () => void child.kill("SIGINT"),
    async said(pattern) {
      const limit = Date.now() + 20_000;
      for (;;) {
        const match = pattern.exec(`${stdout}\n${stderr}`);
        if (match !== null) return match;
        if (!live.has(child)) throw new Error(`${command} ended without saying ${pattern}: ${await end}`);
        if (Date.now() > limit) throw new Error(`${command} did not say ${pattern} within 20 s: ${stderr}`);
        await pause(5);
      }
    },
    stop: () => stopGroup(child, end),
  };
}

async function stopGroup(child: ChildProcess, end: Promise<string>): Promise<void> {
  if (!live.has(child)) return;
  signalGroup(child, "SIGTERM");
  const timer = setTimeout(() => signalGroup(child, "SIGKILL"), 3_000);
  await end.catch(() => {});
  clearTimeout(timer);
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  try {
    process.kill(-(child.pid as number), signal);
  } catch {
    // The process is gone.
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

const msPerTick = 1000 / Number(spawnSync("getconf", ["CLK_TCK"], { encoding: "utf8" }).stdout || 100);

/** CPU time of a process with all its threads and children, user and system, in ms; moves in ticks of 10 ms. */
export function cpuMs(pid: number): number {
  let ticks = 0;
  for (const member of treeOf(pid)) {
    const stat = readFileSync(`/proc/${member}/stat`, "latin1");
    // proc(5): the second field may hold spaces and brackets; utime, stime, cutime, cstime are 14 to 17.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    for (const field of fields.slice(11, 15)) ticks += Number(field);
  }
  return ticks * msPerTick;
}

/** @returns a function that gives the part of the machine's time, 0 to 1, that other processes have had since now */
export function watchOthers(): () => number {
  const [busyBefore, totalBefore] = machineMs();
  const ownBefore = cpuMs(process.pid);
  return () => {
    const [busy, total] = machineMs();
    const others = busy - busyBefore - (cpuMs(process.pid) - ownBefore);
    return Math.max(0, others / (total - totalBefore));
  };
}

/** proc_stat(5): user, nice, system, idle, iowait, irq, softirq, steal of all cores together. */
function machineMs(): [busy: number, total: number] {
  const line = readFileSync("/proc/stat", "latin1").split("\n", 1)[0] as string;
  const ticks = line.trim().split(/\s+/u).slice(1, 9).map(Number);
  const total = ticks.reduce((sum, count) => sum + count, 0);
  const idle = (ticks[3] ?? 0) + (ticks[4] ?? 0);
  return [(total - idle) * msPerTick, total * msPerTick];
}

/** Resident memory of a process with its children. */
export function rssMiB(pid: number): number {
  let kibibytes = 0;
  for (const member of treeOf(pid)) {
    const status = readFileSync(`/proc/${member}/status`, "latin1");
    kibibytes += Number(/^VmRSS:\s*(\d+)/mu.exec(status)?.[1] ?? 0);
  }
  return kibibytes / 1024;
}

function treeOf(pid: number): number[] {
  // The kernel lists a child with the thread that forked it.
  const children = readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, "latin1").trim().split(" "),
  );
  return [pid, ...children.filter((text) => text !== "").flatMap((text) => treeOf(Number(text)))];
}
