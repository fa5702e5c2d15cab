// Shows where the CPU of a request goes, beside nginx: in the kernel, in V8, in Node, in the sidecar's own JavaScript.
// node test/bench/profile.ts [--traffic bare|hit|full]… [--seconds 8]; needs perf (Debian's package linux-perf).
import { readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { bundledCommand } from "./bundled.ts";
import type { Contender } from "./contender.ts";
import { startSidecar } from "./contenders.ts";
import { type LoadTools, runLoad } from "./load.ts";
import { findProgram, obtainProgram } from "./machine.ts";
import { startNative } from "./native-contenders.ts";
import { dropStaleNames, partsOfProgram, samplesByPart } from "./perf-samples.ts";
import { policyOf } from "./policies.ts";
import { cpuMs, folder, start } from "./processes.ts";
import { createScene } from "./scene.ts";
import { isSteadyName, type SteadyName, steadyPolicy, steadyTraffic, warmUp } from "./steady.ts";

/** Microseconds of CPU a request, by part. */
type Profile = ReadonlyMap<string, number>;

const { values: chosen } = parseArgs({
  options: {
    traffic: { type: "string", multiple: true, default: ["bare", "hit", "full"] },
    seconds: { type: "string", default: "8" },
  },
});
const names = chosen.traffic.filter(isSteadyName);
if (names.length === 0) throw new Error("--traffic is bare, hit or full");
if (findProgram("perf") === undefined) throw new Error("perf is not here (Debian's package linux-perf)");

const command = bundledCommand();
const program = command.split(" ").find((word) => word.endsWith("/outrigger.cjs")) ?? "";
const partOfLine = partsOfProgram(join(dirname(program), "program.cjs"));
// With that, V8 tells perf the names of what it compiled.
const scene = await createScene(command.replace(" ", " --perf-basic-prof "));
const tools: LoadTools = { wrk: obtainProgram("wrk"), cores: scene.cores.load };
const seconds = Number(chosen.seconds);

async function profileOf(name: SteadyName, { port, pid }: Contender): Promise<Profile> {
  const traffic = steadyTraffic(name, scene.callers.tokens);
  await warmUp({ port }, traffic, tools);
  const before = cpuMs(pid);
  const { requests, failures, failure } = await runLoad(traffic, port, seconds, tools);
  if (failures > 0) throw new Error(`${failures} failures: ${failure}`);
  const micros = ((cpuMs(pid) - before) * 1000) / requests;
  const file = join(folder, `perf-${pid}.data`);
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
  const pids = [String(pid), ...children].filter((each) => each !== "").join(",");
  const options = ["-e", "cpu-clock", "-F", "5000", "-g", "-p", pids, "-o", file];
  const record = start("perf", ["record", ...options, "--", "sleep", String(seconds)], {
    cores: scene.cores.load,
  });
  await runLoad(traffic, port, seconds, tools);
  await record.end;
  const names = `/tmp/perf-${pid}.map`;
  dropStaleNames(names);
  const samples = await samplesByPart(file, partOfLine);
  rmSync(names, { force: true });
  const all = [...samples.values()].reduce((sum, count) => sum + count, 0);
  return new Map([...samples].map(([part, count]) => [part, (micros * count) / all]));
}

async function profiled(name: SteadyName, contender: Contender): Promise<Profile> {
  try {
    return await profileOf(name, contender);
  } finally {
    await contender.stop();
  }
}

const columns = new Map<string, Profile>();
for (const name of names) {
  const nginx = name === "bare" ? "nginx" : "nginx, same work";
  columns.set(`${name}: ${nginx}`, await profiled(name, await startNative(nginx, scene)));
  const policy = policyOf(steadyPolicy(name), scene.callers);
  const sidecar = { name: "outrigger", ...(await startSidecar(policy, scene)) };
  columns.set(`${name}: outrigger`, await profiled(name, sidecar));
}
const profiles = [...columns.values()];
const most = (part: string): number => Math.max(...profiles.map((profile) => profile.get(part) ?? 0));
const parts = [...new Set(profiles.flatMap((profile) => [...profile.keys()]))].toSorted(
  (a, b) => most(b) - most(a),
);
const total = (profile: Profile): number => [...profile.values()].reduce((sum, each) => sum + each, 0);
const row = (cells: readonly string[]): void => void process.stdout.write(`| ${cells.join(" | ")} |\n`);
row(["µs of CPU a request", ...columns.keys()]);
row(["---", ...profiles.map(() => "---")]);
for (const part of parts) row([part, ...profiles.map((profile) => (profile.get(part) ?? 0).toFixed(1))]);
row(["all", ...profiles.map((profile) => total(profile).toFixed(1))]);
await scene.stop();
process.exit(0);
