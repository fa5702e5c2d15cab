// Measures what the project's own listener costs compared with node:http (OUTRIGGER_LISTENER=node): CPU per request and
// resident memory, of processes that take turns.
// node test/bench/listener.ts [--policy "no plugins"]… [--rounds 9] [--starts 2] [--command "node src/main.ts run"]
import { parseArgs } from "node:util";
import { bundledCommand } from "./bundled.ts";
import type { Scene } from "./contender.ts";
import { type RunningSidecar, startSidecar } from "./contenders.ts";
import { type LoadTools, runLoad } from "./load.ts";
import { findProgram } from "./machine.ts";
import { microsFor } from "./micros.ts";
import { type PolicyName, policyOf } from "./policies.ts";
import { rssMiB, watchOthers } from "./processes.ts";
import { createScene } from "./scene.ts";
import type { Traffic } from "./requests.ts";

const warmUpSeconds = 4;
const seconds = 0.6;
const listeners = ["node", "own"] as const;

const { values: chosen } = parseArgs({
  options: {
    policy: {
      type: "string",
      multiple: true,
      default: ["no plugins", "logging+cors+transform", "full chain"],
    },
    rounds: { type: "string", default: "9" },
    starts: { type: "string", default: "2" },
    command: { type: "string" },
  },
});

/** The first quartile: other work on the machine only adds to a figure. */
function q1(figures: readonly number[]): number {
  return figures.toSorted((a, b) => a - b)[Math.floor(figures.length / 4)] ?? Number.NaN;
}

async function compare(name: PolicyName, scene: Scene, tools: LoadTools): Promise<string> {
  const traffic: Traffic = { kind: "closed", connections: 32, path: "/", tokens: scene.callers.tokens };
  const sidecars: RunningSidecar[] = [];
  try {
    for (const OUTRIGGER_LISTENER of listeners)
      sidecars.push(
        await startSidecar(policyOf(name, scene.callers), scene, scene.cores.contender, {
          OUTRIGGER_LISTENER,
        }),
      );
    for (const { port } of sidecars) await runLoad(traffic, port, warmUpSeconds, tools);
    const shareOfOthers = watchOthers();
    const figures: number[][] = sidecars.map(() => []);
    for (let round = 0; round < Number(chosen.rounds); round += 1)
      for (const [i, sidecar] of sidecars.entries())
        figures[i]?.push(await microsFor(sidecar, traffic, seconds, tools));
    const [node = Number.NaN, own = Number.NaN] = figures.map(q1);
    const memory = sidecars.map(({ pid }) => `${rssMiB(pid).toFixed(0)} MiB`).join(" / ");
    const others = `others took ${(shareOfOthers() * 100).toFixed(0)} % of the machine`;
    return `node ${node.toFixed(1)} µs, own ${own.toFixed(1)} µs: ${(own / node).toFixed(3)}x; ${memory}; ${others}`;
  } finally {
    await Promise.all(sidecars.map((sidecar) => sidecar.stop()));
  }
}

const scene = await createScene(chosen.command ?? bundledCommand());
const { cores } = scene;
const tools: LoadTools = { wrk: findProgram("wrk"), cores: cores.load };
for (const name of chosen.policy)
  // Equal processes differ from start to start.
  for (let nth = 0; nth < Number(chosen.starts); nth += 1)
    console.log(`${name}: ${await compare(name as PolicyName, scene, tools)}`);
await scene.stop();
