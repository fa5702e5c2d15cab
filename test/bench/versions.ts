// Measures CPU per request of several commands that run the sidecar, such as bundles of two commits or Node with
// different flags. They take turns within one run, so other work on the machine is shared.
// node test/bench/versions.ts [--traffic full|hit|bare]… [--rounds 8] [--starts 2] "node A/outrigger.cjs run" "node B/…"
import { parseArgs } from "node:util";
import type { Scene } from "./contender.ts";
import { type RunningSidecar, startSidecar } from "./contenders.ts";
import type { LoadTools } from "./load.ts";
import { findProgram } from "./machine.ts";
import { microsFor } from "./micros.ts";
import { policyOf } from "./policies.ts";
import { createScene } from "./scene.ts";
import { isSteadyName, type SteadyName, steadyPolicy, steadyTraffic, warmUp } from "./steady.ts";

const seconds = 0.7;
const { values: chosen, positionals: commands } = parseArgs({
  allowPositionals: true,
  options: {
    traffic: { type: "string", multiple: true, default: ["full", "hit", "bare"] },
    rounds: { type: "string", default: "8" },
    starts: { type: "string", default: "2" },
  },
});
if (commands.length < 2) throw new Error("name at least two commands, each in quotes");

const quantile = (figures: readonly number[], share: number): number =>
  figures.toSorted((a, b) => a - b)[Math.floor(figures.length * share)] ?? Number.NaN;

/** Starts each command once and adds its figures, one for each round. */
async function measure(name: SteadyName, scene: Scene, tools: LoadTools, figures: number[][]): Promise<void> {
  const policy = policyOf(steadyPolicy(name), scene.callers);
  const traffic = steadyTraffic(name, scene.callers.tokens);
  const sidecars: RunningSidecar[] = [];
  try {
    for (const command of commands)
      sidecars.push(await startSidecar(policy, { ...scene, command }, scene.cores.contender));
    for (const sidecar of sidecars) await warmUp(sidecar, traffic, tools);
    for (let round = 0; round < Number(chosen.rounds); round += 1)
      for (const [i, sidecar] of sidecars.entries())
        figures[i]?.push(await microsFor(sidecar, traffic, seconds, tools));
  } finally {
    await Promise.all(sidecars.map((sidecar) => sidecar.stop()));
  }
}

const scene = await createScene(commands[0] ?? "");
const tools: LoadTools = { wrk: findProgram("wrk"), cores: scene.cores.load };
for (const name of chosen.traffic.filter(isSteadyName)) {
  const figures: number[][] = commands.map(() => []);
  // Equal processes differ from start to start.
  for (let nth = 0; nth < Number(chosen.starts); nth += 1) await measure(name, scene, tools, figures);
  for (const [i, command] of commands.entries()) {
    const own = figures[i] ?? [];
    const ratios = own.map((micros, round) => micros / (figures[0]?.[round] ?? Number.NaN));
    const [q1, median, ratio] = [quantile(own, 0.25), quantile(own, 0.5), quantile(ratios, 0.5)];
    const toFirst = (q1 / quantile(figures[0] ?? [], 0.25)).toFixed(3);
    console.log(
      `${name}: q1 ${q1.toFixed(1)} µs (${toFirst} of the first), median ${median.toFixed(1)} µs, median of ratios ${ratio.toFixed(3)}: ${command}`,
    );
  }
}
await scene.stop();
