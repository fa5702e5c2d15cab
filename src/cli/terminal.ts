// Defines what a command needs from the process.
import process from "node:process";
import type { Environment } from "../config/config.ts";

export interface Terminal {
  readonly env: Environment;
  /** Whether stdout is a terminal: for colours and redrawing. */
  readonly outIsTty?: boolean;
  /** Whether stderr is a terminal: for progress. */
  readonly errIsTty?: boolean;
  /** Current width of stdout when it is a terminal; the user may resize it. */
  readonly columns?: number | undefined;
  /** Aborted when nobody reads stdout any more, which ends commands that follow something. */
  readonly closed?: AbortSignal;
  out(text: string): void;
  err(text: string): void;
}

/** Whether to colour: only on a terminal that can, and if the user does not object (https://no-color.org). */
export function isColoured({ outIsTty, env }: Terminal): boolean {
  return outIsTty === true && (env["NO_COLOR"] ?? "") === "" && env["TERM"] !== "dumb";
}

/** Errors of a pipe or socket whose reader has left. */
const left = new Set(["EPIPE", "ECONNRESET", "ERR_STREAM_DESTROYED"]);

/** The terminal of this process. */
export function processTerminal(env: Environment): Terminal {
  const closed = new AbortController();
  // `outrigger policy validate … | head` closes the pipe early: that is no error, and nobody is left to tell. But the
  // command goes on, since a script may wait for its work and look at its exit code.
  process.stdout.on("error", ({ code = "?" }: NodeJS.ErrnoException) => {
    if (!closed.signal.aborted && !left.has(code)) {
      process.stderr.write(`stdout cannot be written: ${code}\n`);
      process.exitCode = 1;
    }
    closed.abort();
  });
  process.stderr.on("error", () => {});
  return {
    env,
    closed: closed.signal,
    outIsTty: process.stdout.isTTY,
    errIsTty: process.stderr.isTTY,
    get columns() {
      return process.stdout.columns;
    },
    out(text) {
      if (!closed.signal.aborted) process.stdout.write(text);
    },
    err: (text) => void process.stderr.write(text),
  };
}
