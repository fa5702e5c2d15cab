// Runs `outrigger relay`: keeps this region's policy up to date with another region's.
import { run } from "./run.ts";
import type { Terminal } from "./terminal.ts";

/** Serves until a signal ends it. @returns the exit code */
export async function runRelay({ env }: Terminal, { takeOver }: { takeOver?: true }): Promise<number> {
  const { startRelay } = await import("../app/relay.ts");
  return await run(env, (config) => startRelay(config, { takeOver: takeOver === true }));
}
