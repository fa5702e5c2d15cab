// Measures CPU, throughput and memory under load: contenders take turns in rounds, and the figures come from the
// kernel's accounts of their processes.
import { get } from "node:http";
import { type Contender, LeftOut, type Scene } from "./contender.ts";
import { type ContenderName, startContender } from "./contenders.ts";
import { type LoadTools, runLoad } from "./load.ts";
import { cpuMs, pause, rssMiB, watchOthers } from "./processes.ts";
import { commonFields, type LoadResult, type Traffic } from "./requests.ts";
import type { Results } from "./results.ts";

/** Settings and tools of all measurements. */
export interface Bench {
  readonly scene: Scene;
  readonly tools: LoadTools;
  readonly results: Results;
  readonly quick: boolean;
  /** Rounds of one start. */
  readonly rounds: number;
  /** How often each contender is restarted: equal processes differ by up to 40 %, for as long as they live. */
  readonly starts: number;
  /** Seconds of one run. */
  readonly seconds: number;
  /** Requests that a contender answers before it is measured: V8 compiles by number of calls, not by time. */
  readonly warmUpRequests: number;
  /** The warm-up ends after this time at the latest: some traffic is slow, and so is a busy machine. */
  readonly warmUpSeconds: number;
  say(line: string): void;
}

export interface ThroughputPlan {
  readonly name: string;
  readonly contenders: readonly ContenderName[];
  readonly traffic: Traffic;
  /** Size of the answers' bodies: if set, CPU is also given per byte. */
  readonly bodyBytes?: number;
  /** Seconds of one run, if the bench's own value would give too few answers. */
  readonly seconds?: number;
  /** The cache status that the sidecar's answers must show. */
  readonly xCache?: "HIT" | "MISS";
  /** Contenders that `--quick` leaves out. */
  readonly quickWithout?: readonly ContenderName[];
}

export async function measureThroughput(plan: ThroughputPlan, bench: Bench): Promise<void> {
  const { name, traffic, quickWithout = [] } = plan;
  const names = plan.contenders.filter((contender) => !bench.quick || !quickWithout.includes(contender));
  if (names.length === 0) return;
  for (let start = 0; start < bench.starts; start += 1) {
    await withContenders(name, names, bench, async (contenders) => {
      await pause(500);
      for (const { name: contender, pid } of contenders) {
        bench.results.add(name, contender, "idleRssMiB", rssMiB(pid), start);
      }
      for (const { port } of contenders) await warmUp(traffic, port, bench);
      if (plan.xCache !== undefined) await checkCacheStatus(plan, contenders, bench);
      await inRounds({ scenario: name, start }, contenders, bench, async (contender, round) => {
        const before = cpuMs(contender.pid);
        const load = await runLoad(traffic, contender.port, plan.seconds ?? bench.seconds, bench.tools);
        // The access log of the last requests is written a little later.
        await pause(30);
        record(plan, contender, round, { load, cpu: cpuMs(contender.pid) - before }, bench);
      });
    });
  }
}

/** Starts contenders, passes the available ones on, and always stops them. */
export async function withContenders(
  scenario: string,
  names: readonly ContenderName[],
  { scene, results, say }: Pick<Bench, "scene" | "results" | "say">,
  use: (contenders: readonly Contender[]) => Promise<void>,
): Promise<void> {
  const contenders: Contender[] = [];
  try {
    for (const name of names) {
      try {
        contenders.push(await startContender(name, scene));
      } catch (error) {
        if (!(error instanceof LeftOut)) throw error;
        const line = `${scenario}: left out: ${name}: ${error.message}`;
        if (!results.leftOut.includes(line)) results.leftOut.push(line);
        say(line);
      }
    }
    await use(contenders);
  } catch (error) {
    const dead = contenders.find((contender) => contender.lastWords() !== undefined);
    if (dead === undefined) throw error;
    throw new Error(`${dead.name} ended by itself: ${dead.lastWords()}`, { cause: error });
  } finally {
    await Promise.all(contenders.map((contender) => contender.stop()));
  }
}

/** Warms up in runs of one second. */
export async function warmUp(traffic: Traffic, port: number, bench: Bench): Promise<void> {
  let answered = 0;
  for (let run = 0; run < bench.warmUpSeconds && answered < bench.warmUpRequests; run += 1) {
    answered += (await runLoad(traffic, port, 1, bench.tools)).requests;
  }
}

/**
 * Runs the rounds; another contender begins each of them, so that none always follows the same one.
 * @param of which start of the contenders this is, from 0
 */
export async function inRounds(
  { scenario, start }: { readonly scenario: string; readonly start: number },
  contenders: readonly Contender[],
  { results, rounds }: Pick<Bench, "results" | "rounds">,
  run: (contender: Contender, round: number) => Promise<void>,
): Promise<void> {
  for (let turn = 0; turn < rounds; turn += 1) {
    const round = start * rounds + turn;
    const shareOfOthers = watchOthers();
    for (let index = 0; index < contenders.length; index += 1) {
      await run(contenders[(turn + index) % contenders.length] as Contender, round);
    }
    results.addRound(scenario, round, { shareOfOthers: shareOfOthers(), start });
  }
}

/** @returns whether the run counts; if it does not, the results say why */
export function isValid(
  scenario: string,
  { name }: Pick<Contender, "name">,
  { requests, failures, failure }: LoadResult,
  { results, say }: Pick<Bench, "results" | "say">,
): boolean {
  if (failures === 0 && requests > 0) return true;
  const line = `${scenario}: run invalid: ${name}: ${failures} of ${requests + failures} failed: ${failure || "no answer"}`;
  results.invalid.push(line);
  say(line);
  return false;
}

function record(
  plan: ThroughputPlan,
  contender: Contender,
  round: number,
  { load, cpu }: { readonly load: LoadResult; readonly cpu: number },
  bench: Bench,
): void {
  if (!isValid(plan.name, contender, load, bench)) return;
  const { results } = bench;
  const cpuUs = (cpu * 1000) / load.requests;
  results.add(plan.name, contender.name, "cpuUs", cpuUs, round);
  results.add(
    plan.name,
    contender.name,
    "requestsPerSecond",
    load.requests / (plan.seconds ?? bench.seconds),
    round,
  );
  results.add(plan.name, contender.name, "rssMiB", rssMiB(contender.pid), round);
  if (plan.bodyBytes !== undefined) {
    results.add(plan.name, contender.name, "nsPerKiB", (cpu * 1e6) / (load.bytes / 1024), round);
    results.add(plan.name, contender.name, "mbPerCpuSecond", load.bytes / 1e6 / (cpu / 1000), round);
  }
  bench.say(`${plan.name}: ${contender.name}: ${cpuUs.toFixed(1)} µs`);
}

/**
 * Checks the cache status: otherwise a chain that never misses or never hits would be measured under the wrong name.
 */
async function checkCacheStatus(
  { name, traffic, xCache }: ThroughputPlan,
  contenders: readonly Contender[],
  bench: Bench,
): Promise<void> {
  for (const contender of contenders) {
    if (!contender.name.startsWith("outrigger")) continue;
    const path = traffic.everyUrlNew === undefined ? traffic.path : `${traffic.path}?probe`;
    const headers = { ...commonFields, authorization: `Bearer ${traffic.tokens?.[0]}` };
    const found = await new Promise((resolve, reject) => {
      get({ port: contender.port, host: "127.0.0.1", path, headers, agent: false }, (answer) => {
        answer.resume().once("end", () => resolve(answer.headers["x-cache"]));
      }).on("error", reject);
    });
    if (found === xCache) continue;
    bench.results.invalid.push(`${name}: ${contender.name}: X-Cache is ${String(found)}, not ${xCache}`);
  }
}
