#!/usr/bin/env node
// The command line's door. The sidecar itself starts without the command line's library. No `await` out here: what the
// image runs is CommonJS.
import process from "node:process";

const args = process.argv.slice(2);

async function main(): Promise<void> {
  if (args.length === 0 || (args.length === 1 && args[0] === "run")) {
    const { run } = await import("./cli/run.ts");
    process.exit(await run(process.env));
  }
  const { runCommand } = await import("./cli/program.ts");
  const { processTerminal } = await import("./cli/terminal.ts");
  // Not `exit`, which cuts off what a pipe has not taken yet.
  process.exitCode = await runCommand(args, processTerminal(process.env));
}

void main();
