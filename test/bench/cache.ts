// Measures what the cache costs and saves: CPU of a hit compared with other programs that answer from memory, CPU of a
// miss compared with a bare forward, latency of a hit from Redis, and Zipf loads. `node test/bench/cache.ts [--quick]
// [--only hits|misses|redis|zipf|ratio] [--command LINE]`
import { parseArgs } from "node:util";
import { bundledCommand } from "./bundled.ts";
import { answering, type CacheContender, nginx, policy, sidecar, varnish } from "./cache-contenders.ts";
import type { Scene } from "./contender.ts";
import { type LoadTools, runLoad } from "./load.ts";
import { findProgram } from "./machine.ts";
import { policyOf } from "./policies.ts";
import { cpuMs, pause, rssMiB } from "./processes.ts";
import { createScene } from "./scene.ts";
import type { Traffic } from "./requests.ts";
import { closedLoad, countingService, openLoad, zipfTargets } from "./zipf.ts";

const { values: chosen } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string" },
    command: { type: "string" },
  },
});
const parts = ["hits", "misses", "redis", "zipf", "ratio"] as const;
if (chosen.only !== undefined && !parts.some((part) => part === chosen.only)) {
  throw new Error(`--only is one of ${parts.join(", ")}`);
}
const wants = (part: (typeof parts)[number]): boolean => chosen.only === undefined || chosen.only === part;
const rounds = chosen.quick ? 5 : 15;
const seconds = chosen.quick ? 0.5 : 1;
const warmUpSeconds = chosen.quick ? 2 : 4;

const row = (name: string, value: string): void => console.log(`${name.padEnd(62)} ${value}`);
const goals: string[] = [];
const mebibyte = 1_048_576;

/** @param limit the highest value that meets the goal */
function goal(name: string, figure: number, limit: number, unit: string): void {
  const met = figure <= limit ? "met   " : "MISSED";
  goals.push(`${met} ${name.padEnd(55)} ${figure.toFixed(2)}${unit}, goal at most ${limit}${unit}`);
}

/**
 * CPU per request of each contender: the minimum of rounds in which they take turns. Other work on the machine only
 * adds to a figure, and hits each contender in another round.
 */
async function cpu(
  contenders: readonly CacheContender[],
  traffic: Traffic,
  tools: LoadTools,
): Promise<Map<string, number>> {
  const least = new Map<string, number>();
  try {
    for (const { port } of contenders) await runLoad(traffic, port, warmUpSeconds, tools);
    for (let round = 0; round < rounds; round += 1) {
      for (const { name, port, pid } of contenders) {
        const before = cpuMs(pid);
        const { requests, failures, failure } = await runLoad(traffic, port, seconds, tools);
        if (failures > 0) throw new Error(`${name}: ${failures} failures: ${failure}`);
        await pause(30);
        least.set(name, Math.min(least.get(name) ?? Infinity, ((cpuMs(pid) - before) * 1000) / requests));
      }
    }
  } finally {
    await Promise.all(contenders.map((contender) => contender.stop()));
  }
  return least;
}

async function hits(scene: Scene, tools: LoadTools): Promise<void> {
  for (const bytes of [1_024, 65_536]) {
    const own = await answering(bytes, scene);
    const chain = await sidecar("outrigger: full chain", policyOf("full chain", scene.callers), scene);
    const all = [
      own,
      await sidecar("outrigger: cache alone", policy(["cache"]), scene),
      chain,
      await nginx(scene),
      await varnish(scene),
    ].filter((one) => one !== undefined);
    const { tokens } = scene.callers;
    const traffic: Traffic = { kind: "closed", connections: 32, path: `/cacheable?size=${bytes}`, tokens };
    const figures = await cpu(all, traffic, tools);
    const base = figures.get(own.name) ?? Number.NaN;
    for (const [name, us] of figures)
      row(`memory hit, ${bytes} B, ${name}`, `${us.toFixed(1)} µs  ${(us / base).toFixed(2)}x`);
    const times = (figures.get(chain.name) ?? Number.NaN) / base;
    goal(`memory hit, ${bytes} B, full chain to node:http`, times, 1.5, "x");
  }
}

async function misses(scene: Scene, tools: LoadTools): Promise<void> {
  const contenders = [
    await sidecar("bare forward", policy([]), scene),
    await sidecar("forward through the cache", policy(["cache"], { memoryBytes: 4_194_304 }), scene),
  ];
  const traffic: Traffic = { kind: "closed", connections: 32, path: "/cacheable", everyUrlNew: true };
  const figures = await cpu(contenders, traffic, tools);
  for (const [name, us] of figures) row(`miss, 300 B, ${name}`, `${us.toFixed(1)} µs`);
  const [bare = Number.NaN, through = Number.NaN] = contenders.map(({ name }) => figures.get(name));
  goal("miss, added to a bare forward", through - bare, 15, " µs");
}

async function redisHits(scene: Scene, tools: LoadTools): Promise<void> {
  // No memory tier: every hit comes from Redis.
  const one = await sidecar("redis", policy(["cache"], { memoryBytes: 0, redisWaitMs: 100 }, true), scene);
  try {
    const traffic: Traffic = { kind: "closed", connections: 8, path: "/cacheable?size=1024" };
    await runLoad(traffic, one.port, 2, tools);
    const open: Traffic = { ...traffic, kind: "open", rate: 300, connections: 0 };
    // The best of some runs: delays by the machine's scheduler are not the cache's.
    let [p50, p99] = [Infinity, Infinity];
    for (let run = 0; run < 3; run += 1) {
      const paced = await runLoad(open, one.port, chosen.quick ? 2 : 5, tools);
      p50 = Math.min(p50, paced.p50Ms ?? Infinity);
      p99 = Math.min(p99, paced.p99Ms ?? Infinity);
    }
    row(
      "hit out of Redis, 1 KiB, 300 requests a second",
      `p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms`,
    );
    goal("hit out of Redis, p99", p99, 1.5, " ms");
    const before = cpuMs(one.pid);
    const { requests } = await runLoad(traffic, one.port, 3, tools);
    row("hit out of Redis, 1 KiB, CPU", `${(((cpuMs(one.pid) - before) * 1000) / requests).toFixed(1)} µs`);
  } finally {
    await one.stop();
  }
}

/** Sends 200 requests a second for 10,000 URLs to a service that takes 200 ms. */
async function slowService(scene: Scene): Promise<void> {
  const service = await countingService(200);
  const targets = zipfTargets(10_000, chosen.quick ? 2_000 : 6_000);
  for (const plugins of [[], ["cache"]]) {
    const one = await sidecar("zipf", policy(plugins), { ...scene, upstreamPort: service.port });
    service.taken();
    const times = await openLoad(one.port, targets, 5);
    const at = (share: number): string => (times[Math.floor(times.length * share)] ?? Number.NaN).toFixed(1);
    const savedPercent = (1 - service.taken() / targets.length) * 100;
    row(
      `Zipf, 10,000 URLs, service of 200 ms, ${plugins.length === 0 ? "no cache" : "cache"}`,
      `${savedPercent.toFixed(1)} % of upstream requests saved, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`,
    );
    if (plugins.length > 0) {
      goal("Zipf, upstream requests that remain", 100 - savedPercent, 60, " %");
      goal("Zipf, half of the answers", Number(at(0.5)), 15, " ms");
    }
    await one.stop();
  }
  service.stop();
}

/**
 * Measures the hit ratio with answers of 2,000 bytes for 10,000 URLs in a cache of 4 MiB, which holds a fifth of them.
 */
async function hitRatio(scene: Scene): Promise<void> {
  const service = await countingService(0);
  const beside: Scene = { ...scene, upstreamPort: service.port };
  const targets = zipfTargets(10_000, chosen.quick ? 15_000 : 60_000);
  const all = [
    await sidecar("outrigger", policy(["cache"], { memoryBytes: 4_194_304 }), beside),
    // As many keys as there are bodies in 4 MiB.
    await nginx(beside, { memoryMiB: 4, keysKiB: 4_096 / 16 }),
    await varnish(beside, 4),
  ].filter((one) => one !== undefined);
  const percents: number[] = [];
  for (const one of all) {
    const before = rssMiB(one.pid);
    service.taken();
    await closedLoad(one.port, targets);
    const percent = (1 - service.taken() / targets.length) * 100;
    percents.push(percent);
    const held = await one.held?.();
    row(
      `hit ratio, Zipf, 10,000 URLs of 2,000 B, 4 MiB, ${one.name}`,
      `${percent.toFixed(1)} %; holds ${held?.entries} answers, ${((held?.bytes ?? 0) / mebibyte).toFixed(2)} MiB as it counts; ` +
        `resident ${before.toFixed(0)} -> ${rssMiB(one.pid).toFixed(0)} MiB`,
    );
    await one.stop();
  }
  service.stop();
  const [own = Number.NaN, ...others] = percents;
  if (others.length > 0)
    goal("hit ratio, points below the best of the others", Math.max(...others) - own, 0, "");
}

const scene = await createScene(chosen.command ?? bundledCommand());
const { cores } = scene;
const tools: LoadTools = { wrk: findProgram("wrk"), cores: cores.load };
for (const name of ["nginx", "varnishd"])
  if (findProgram(name) === undefined) console.log(`${name} is not installed: left out`);
if (wants("hits")) await hits(scene, tools);
if (wants("misses")) await misses(scene, tools);
// Latencies are measured on all cores: processes that share one core wait for each other.
const calm: Scene = { ...scene, cores: { ...cores, contender: cores.all, load: cores.all } };
if (wants("redis")) await redisHits(calm, { ...tools, cores: cores.all });
if (wants("zipf")) await slowService(calm);
if (wants("ratio")) await hitRatio(calm);
await scene.stop();
console.log(`\n${goals.join("\n")}`);
