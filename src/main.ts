#!/usr/bin/env node
// The command line's door. The sidecar itself starts without the command line's library. No `await` out here: what the
// image runs is CommonJS.
import process from "node:process";

const args = process.argv.slice(2);
/** As `engines` of npm's package says. */
const needed = [22, 18] as const;

function isOld(): boolean {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  return major < needed[0] || (major === needed[0] && minor < needed[1]);
}

async function main(): Promise<void> {
  // npm installs it all the same, with a warning that nobody reads.
  if (isOld()) {
    process.stderr.write(`outrigger needs Node ${needed.join(".")} or newer; this is ${process.version}\n`);
    process.exit(2);
  }
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
