#!/usr/bin/env node
// The command line's door. The sidecar itself starts without the command line's library.
import process from "node:process";

const args = process.argv.slice(2);
if (args.length === 0 || (args.length === 1 && args[0] === "run")) {
  const { run } = await import("./cli/run.ts");
  process.exit(await run(process.env));
} else {
  const { runCommand } = await import("./cli/program.ts");
  // Not `exit`, which cuts off what a pipe has not taken yet.
  process.exitCode = await runCommand(args, process.env);
}
