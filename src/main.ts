#!/usr/bin/env node
// The entry point of the command line. Starting the sidecar does not load the command-line library. There is no
// top-level `await`, because the image runs a CommonJS bundle.
import process from "node:process";

const args = process.argv.slice(2);
/** Oldest Node that is supported, as in `engines` of the npm package. */
const needed = [22, 18] as const;

function isOld(): boolean {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  return major < needed[0] || (major === needed[0] && minor < needed[1]);
}

async function main(): Promise<void> {
  // npm installs the package on an older Node all the same, with only a warning.
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
  // Not `process.exit`, which drops output that a pipe has not read yet.
  const code = await runCommand(args, processTerminal(process.env));
  // What could not be written has set it, too.
  if (code !== 0) process.exitCode = code;
}

void main();
