// The parts that all contenders of a run share: the cores, the upstream, the callers.
import { join } from "node:path";
import type { Scene } from "./contender.ts";
import { divideCores } from "./machine.ts";
import { createCallers } from "./policies.ts";
import { start } from "./processes.ts";

/**
 * Starts the upstream; it ends with this process, or by `stop`.
 * @param command starts a sidecar
 */
export async function createScene(
  command: string,
  profileFolder?: string,
): Promise<Scene & { stop(): Promise<void> }> {
  const cores = divideCores();
  const upstream = start(process.execPath, [join(import.meta.dirname, "upstream.ts")], { cores: cores.load });
  const [, port] = await upstream.said(/port (\d+)/u);
  const callers = await createCallers();
  return {
    upstreamPort: Number(port),
    cores,
    callers,
    command,
    profileFolder,
    stop: () => upstream.stop(),
  };
}
