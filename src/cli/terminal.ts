// What a command needs from the process.
import process from "node:process";
import type { Environment } from "../config/config.ts";

export interface Terminal {
  readonly env: Environment;
  /** Whether somebody looks at stdout: colours, redrawing. */
  readonly outIsTty?: boolean;
  /** Whether somebody looks at stderr: progress. */
  readonly errIsTty?: boolean;
  /** Of stdout, where it is a terminal, at this moment: somebody may be resizing it. */
  readonly columns?: number | undefined;
  out(text: string): void;
  err(text: string): void;
}

/** Whether to colour: only a terminal that can, and not where the user does not want it (https://no-color.org). */
export function isColoured({ outIsTty, env }: Terminal): boolean {
  return outIsTty === true && (env["NO_COLOR"] ?? "") === "" && env["TERM"] !== "dumb";
}

/** Of this process. */
export function processTerminal(env: Environment): Terminal {
  // `outrigger policy schema | head` closes the pipe early: that is no fault, and nobody is left to tell.
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
