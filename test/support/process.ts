// Runs programs as processes: to their end, or started and talked to.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";

export const sourceFile = new URL("../../src/main.ts", import.meta.url).pathname;
/**
 * What processes run: the bundle that a run of all tests has built (run.ts), which starts in two fifths of the time, or
 * the sources.
 */
export const mainFile = process.env["OUTRIGGER_TEST_PROGRAM"] || sourceFile;

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Started {
  readonly child: ChildProcess & { readonly stdout: Readable; readonly stderr: Readable };
  /** Resolves with all of stdout once it holds the text. */
  readonly said: (what: string) => Promise<string>;
  /** Resolves when it has ended and both its outputs are read. */
  readonly end: Promise<Finished>;
}

/** Variables of this process's environment that a test's commands get. */
export const passedOn: Readonly<Record<string, string>> = Object.fromEntries(
  ["PATH", "NODE_COMPILE_CACHE", "OUTRIGGER_LISTENER"].flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value]];
  }),
);

/**
 * Starts node with these arguments. Of this process's environment it gets only PATH, the folder of compiled modules,
 * and the choice of listener.
 */
export function startNode(args: readonly string[], env: Readonly<Record<string, string>> = {}): Started {
  const child = spawn(process.execPath, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...passedOn, ...env },
  });
  let heard = "";
  child.stdout.on("data", (chunk: Buffer) => (heard += chunk.toString()));
  const stderr = text(child.stderr);
  const end = once(child, "close").then(async ([code, signal]): Promise<Finished> => ({
    code: code as number | null,
    signal: signal as NodeJS.Signals | null,
    stdout: heard,
    stderr: await stderr,
  }));
  async function said(what: string): Promise<string> {
    while (!heard.includes(what)) {
      const over = end.then(({ stderr }) => {
        throw new Error(`ended without saying ${JSON.stringify(what)}: ${stderr}`);
      });
      await Promise.race([once(child.stdout, "data"), over]);
    }
    return heard;
  }
  return { child, said, end };
}

/** Kills the process, and waits until it is gone; returns at once if it has ended. */
export async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
}

/** Runs `outrigger <args>` to its end, as a process. */
export function outriggerProcess(
  args: readonly string[],
  env?: Readonly<Record<string, string>>,
): Promise<Finished> {
  return startNode([mainFile, ...args], env).end;
}

/**
 * The same within this process, for all commands but `run`: does what src/main.ts does, with captured output. Takes a
 * tenth of the time.
 */
export async function outrigger(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Finished> {
  const { runCommand } = await import("../../src/cli/program.ts");
  let [stdout, stderr] = ["", ""];
  const out = (text: string): void => void (stdout += text);
  const err = (text: string): void => void (stderr += text);
  return { code: await runCommand(args, { env, out, err }), signal: null, stdout, stderr };
}
