// Measures what the first half second after a rest costs: JavaScript engines discard compiled code while no requests
// come.
import type { ContenderName } from "./contenders.ts";
import { runLoad } from "./load.ts";
import { type Bench, isValid, warmUp, withContenders } from "./measure.ts";
import { cpuMs, pause, watchOthers } from "./processes.ts";
import type { Traffic } from "./requests.ts";

const restMs = 30_000;
const burstSeconds = 0.5;

/** @returns the name for a contender's bursts after a rest in the results */
export const afterLull = (contender: string): string => `${contender}, after 30 s of rest`;

/** Measures bursts in the middle of work and after a rest, of each contender in turn; all rest at the same time. */
export async function measureLull(
  scenario: string,
  names: readonly ContenderName[],
  bench: Bench,
): Promise<void> {
  const { results, scene, quick, tools } = bench;
  const traffic: Traffic = {
    kind: "closed",
    connections: 32,
    path: "/cacheable",
    everyUrlNew: true,
    tokens: scene.callers.tokens,
  };
  await withContenders(scenario, names, bench, async (contenders) => {
    for (const { port } of contenders) await warmUp(traffic, port, bench);
    for (let round = 0; round < (quick ? 3 : 5); round += 1) {
      const shareOfOthers = watchOthers();
      for (const rested of [false, true]) {
        if (rested) await pause(restMs);
        for (const contender of contenders) {
          const name = rested ? afterLull(contender.name) : contender.name;
          const before = cpuMs(contender.pid);
          const load = await runLoad(traffic, contender.port, burstSeconds, tools);
          await pause(30);
          if (!isValid(scenario, contender, load, bench)) continue;
          const cpuUs = ((cpuMs(contender.pid) - before) * 1000) / load.requests;
          results.add(scenario, name, "cpuUs", cpuUs, round);
          results.add(scenario, name, "requestsPerSecond", load.requests / burstSeconds, round);
          bench.say(`${scenario}: ${name}: ${cpuUs.toFixed(1)} µs`);
        }
      }
      results.addRound(scenario, round, { shareOfOthers: shareOfOthers(), start: 0 });
    }
  });
}
