// Shows where the memory of the full chain is, at rest and at 1,000 requests a second, compared with an idle Node:
// `node test/bench/memory.ts [--command LINE] [--requests 60000]`. The warm-up is that of `npm run bench`.
import { get } from "node:http";
import { text } from "node:stream/consumers";
import { parseArgs } from "node:util";
import { nodeEnvironment, nodeFlags } from "../../deploy/node-flags.ts";
import { bundledCommand } from "./bundled.ts";
import { type RunningSidecar, startSidecar } from "./contenders.ts";
import { runLoad } from "./load.ts";
import { obtainProgram } from "./machine.ts";
import { heapSpaces } from "./metrics-text.ts";
import { policyOf } from "./policies.ts";
import { pause, start } from "./processes.ts";
import type { Traffic } from "./requests.ts";
import { type Resident, residentNow } from "./resident.ts";
import { createScene } from "./scene.ts";

/** MiB by part. */
type Parts = Readonly<Record<string, number>>;

const { values: chosen } = parseArgs({
  options: { command: { type: "string" }, requests: { type: "string", default: "60000" } },
});
const command = chosen.command ?? bundledCommand();
const scene = await createScene(command);
const tools = { wrk: obtainProgram("wrk"), cores: scene.cores.load };
const fast: Traffic = {
  kind: "closed",
  connections: 32,
  path: "/cacheable",
  everyUrlNew: true,
  tokens: scene.callers.tokens,
};
const mostRuns = 120;
const paced: Traffic = { ...fast, kind: "open", connections: 0, rate: 1_000 };

/** @param spaces V8's heap spaces by name, in MiB */
function partsOf(resident: Resident, spaces: ReadonlyMap<string, number>): Parts {
  const { executable, libraries, malloc, anonymous } = resident;
  const of = (...names: string[]): number => names.reduce((sum, name) => sum + (spaces.get(name) ?? 0), 0);
  const heap = of(...spaces.keys());
  return {
    "pages of Node's executable": executable,
    "pages of libraries": libraries,
    "young generation": of("new", "new_large_object"),
    "old generation": of("old", "large_object"),
    "bytecode, compiled code": of("code", "code_large_object", "trusted", "trusted_large_object"),
    malloc,
    "the rest: the program's text, stacks": anonymous - heap,
    all: executable + libraries + malloc + anonymous,
  };
}

/** An idle Node with the same flags, after a collection. */
async function partsOfNothing(): Promise<Parts> {
  const program = `gc(); console.log("spaces", JSON.stringify(v8.getHeapSpaceStatistics().map(
    ({ space_name, space_size }) => [space_name.replace("_space", ""), space_size / 1048576])));
    setInterval(() => {}, 1_000)`;
  const { contender } = scene.cores;
  const started = start(process.execPath, [...nodeFlags, "-e", program], {
    cores: contender,
    env: nodeEnvironment,
  });
  const [, spaces = ""] = await started.said(/spaces (.*)/u);
  const parts = partsOf(residentNow(started.pid), new Map(JSON.parse(spaces) as [string, number][]));
  await started.stop();
  return parts;
}

async function partsOfSidecar({ adminPort, pid }: RunningSidecar): Promise<Parts> {
  const metrics = await new Promise<string>((resolve, reject) => {
    get({ host: "127.0.0.1", port: adminPort, path: "/metrics", agent: false }, (answer) => {
      text(answer).then(resolve, reject);
    }).on("error", reject);
  });
  return partsOf(residentNow(pid), heapSpaces(metrics));
}

/** Measures at rest, and the maximum of several moments at 1,000 requests a second. */
async function measure(): Promise<[rest: Parts, load: Parts]> {
  const sidecar = await startSidecar(policyOf("full chain", scene.callers), scene);
  await pause(1_000);
  const rest = await partsOfSidecar(sidecar);
  let answered = 0;
  // V8 compiles by number of calls; on a busy machine the warm-up ends after a fixed number of runs.
  for (let run = 0; run < mostRuns && answered < Number(chosen.requests); run += 1)
    answered += (await runLoad(fast, sidecar.port, 1, tools)).requests;
  let most = rest;
  for (let second = 0; second < 6; second += 1) {
    const { failures, failure } = await runLoad(paced, sidecar.port, 1, tools);
    if (failures > 0) throw new Error(failure);
    const now = await partsOfSidecar(sidecar);
    if ((now["all"] ?? 0) > (most["all"] ?? 0)) most = now;
  }
  await sidecar.stop();
  return [rest, most];
}

const nothing = await partsOfNothing();
const [rest, load] = await measure();
process.stdout.write(
  "| MiB resident | `node -e` that does nothing | full chain at rest | at 1,000 requests a second |\n",
);
process.stdout.write("| --- | --- | --- | --- |\n");
for (const name of Object.keys(nothing)) {
  const cells = [nothing, rest, load].map((parts) => (parts[name] ?? 0).toFixed(0));
  process.stdout.write(`| ${name} | ${cells.join(" | ")} |\n`);
}
process.exit(0);
