// What benches of single sidecars send: the kinds of traffic that the goals of the data path name, and their warm-up.
import type { RunningSidecar } from "./contenders.ts";
import { type LoadTools, runLoad } from "./load.ts";
import type { PolicyName } from "./policies.ts";
import type { Traffic } from "./requests.ts";

export type SteadyName = "bare" | "hit" | "full";

/** V8's compilers work by calls, so the warm-up is over after this many requests. */
const warmUpRequests = 50_000;
const longestWarmUpSeconds = 20;

export function steadyPolicy(name: SteadyName): PolicyName {
  return name === "bare" ? "no plugins" : "full chain";
}

/** @param tokens the callers' bearer tokens */
export function steadyTraffic(name: SteadyName, tokens: readonly string[]): Traffic {
  const cached = { kind: "closed", connections: 32, path: "/cacheable" } as const;
  if (name === "bare") return { ...cached, path: "/" };
  return name === "hit" ? { ...cached, tokens } : { ...cached, tokens, everyUrlNew: true };
}

export function isSteadyName(name: string): name is SteadyName {
  return name === "bare" || name === "hit" || name === "full";
}

export async function warmUp(
  { port }: Pick<RunningSidecar, "port">,
  traffic: Traffic,
  tools: LoadTools,
): Promise<void> {
  let requests = 0;
  for (let second = 0; second < longestWarmUpSeconds && requests < warmUpRequests; second += 1)
    requests += (await runLoad(traffic, port, 1, tools)).requests;
}
