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
  out(text: string): void;
  err(text: string): void;
}

/** Whether to colour: only on a terminal that can, and if the user does not object (https://no-color.org). */
export function isColoured({ outIsTty, env }: Terminal): boolean {
  return outIsTty === true && (env["NO_COLOR"] ?? "") === "" && env["TERM"] !== "dumb";
}

/** The terminal of this process. */
export function processTerminal(env: Environment): Terminal {
  // `outrigger policy schema | head` closes the pipe early: that is no error, and nobody is left to tell.
  process.stdout.on("error", () => process.exit(0));
  return {
    env,
    outIsTty: process.stdout.isTTY,
    errIsTty: process.stderr.isTTY,
    get columns() {
      return process.stdout.columns;
    },
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
  };
}
