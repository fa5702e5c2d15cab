// Measures one round of one sidecar, for benches in which sidecars take turns.
import type { RunningSidecar } from "./contenders.ts";
import { type LoadTools, runLoad } from "./load.ts";
import { cpuMs, pause } from "./processes.ts";
import type { Traffic } from "./requests.ts";

/** @returns CPU microseconds a request. @throws Error if a request fails */
export async function microsFor(
  sidecar: RunningSidecar,
  traffic: Traffic,
  seconds: number,
  tools: LoadTools,
): Promise<number> {
  const before = cpuMs(sidecar.pid);
  const { requests, failures, failure } = await runLoad(traffic, sidecar.port, seconds, tools);
  if (failures > 0) throw new Error(`${failures} failures: ${failure}`);
  await pause(30);
  return ((cpuMs(sidecar.pid) - before) * 1000) / requests;
}
