// `node test/bench/plugins.ts [--quick]`: measures what built-in plugins cost, and external ones in each runtime. CPU
// is user and system time of this process with all its threads and children; figures are medians of rounds in which the
// contenders take turns.
import { builtInCosts } from "./builtins.ts";
import { compressCosts } from "./compress.ts";
import { type BenchSize, hookCosts, streamCosts } from "./plugin-costs.ts";
import { besideSpinning, startAndMemory, stopTimes } from "./plugin-life.ts";
import { runtimes, swapsOf, textOf } from "./plugin-swaps.ts";
import { cpuModel } from "./machine.ts";

interface Row {
  readonly figure: string;
  readonly measured: string;
  /** Absent = no goal. */
  readonly goal?: string;
  readonly met?: boolean;
}

const quick: BenchSize = { rounds: 5, calls: 4_000, swaps: 60, seconds: 2 };
const whole: BenchSize = { rounds: 15, calls: 20_000, swaps: 500, seconds: 8 };

const micro = (value: number): string => `${value.toFixed(2)} µs`;

function under(figure: string, value: number, limit: number, unit: string): Row {
  const digits = unit === "µs" ? 2 : 1;
  return {
    figure,
    measured: `${value.toFixed(digits)} ${unit}`,
    goal: `${limit} ${unit}`,
    met: value <= limit,
  };
}

async function builtIns(size: BenchSize): Promise<Row[]> {
  const rows: Row[] = [];
  for (const { name, micros, goalMicros } of await builtInCosts(size)) {
    const figure = `built in: ${name}`;
    rows.push(
      goalMicros === undefined
        ? { figure, measured: micro(micros) }
        : under(figure, micros, goalMicros, "µs"),
    );
  }
  const responses = size.calls / 5;
  for (const each of (await compressCosts({ rounds: Math.ceil(size.rounds / 3), responses })) ?? []) {
    const { kibibytes, nginx, sidecar, ratio, wholeRatio } = each;
    rows.push({
      figure: `built in: compress, gzip 6 of ${kibibytes} KiB of JSON over nginx's (whole responses)`,
      measured: `${sidecar.toFixed(0)} / ${nginx.toFixed(0)} µs = ${ratio.toFixed(2)} (${wholeRatio.toFixed(2)})`,
      goal: "1.3",
      met: ratio <= 1.3,
    });
  }
  return rows;
}

async function rowsOf(size: BenchSize): Promise<Row[]> {
  const rows: Row[] = [];
  // Runs first, because V8 and malloc reuse memory that was used before.
  const started = await startAndMemory(size);
  const hooks = await hookCosts(size);
  const builtIn = hooks.get("built-in") ?? Number.NaN;
  const goals: Readonly<Record<string, number>> = {
    "wasm, isolate": 6,
    process: 60,
    "process, 16 in flight": 8,
  };
  for (const [name, cost] of hooks) {
    const figure = `hook that reads 3 fields and sets 1: ${name}`;
    if (name === "trusted") rows.push(under(`${figure}, over a built-in`, cost - builtIn, 0.5, "µs"));
    else if (goals[name] !== undefined) rows.push(under(figure, cost, goals[name], "µs"));
    else rows.push({ figure, measured: micro(cost) });
  }
  for (const [name, cost] of await streamCosts(size)) {
    const figure = `whole stream: ${name}`;
    rows.push(name === "C, isolate" ? under(figure, cost, 15, "µs") : { figure, measured: micro(cost) });
  }
  rows.push(...(await builtIns(size)));
  for (const { name, startMs, memoryMiB } of started) {
    rows.push({
      figure: `start: ${name}`,
      measured: `${startMs.toFixed(0)} ms, ${memoryMiB.toFixed(1)} MiB`,
    });
  }
  for (const [name, ms] of await stopTimes(size)) {
    rows.push(under(`a spinning guest (limit 20 ms) is stopped: ${name}`, ms, 30, "ms"));
  }
  for (const { name, aloneMs, besideMs } of await besideSpinning(size)) {
    rows.push({
      figure: `p99 of others, alone / beside a guest that spins 10 times a second: ${name}`,
      measured: `${aloneMs.toFixed(1)} / ${besideMs.toFixed(1)} ms`,
    });
  }
  for (const runtime of runtimes) {
    // Each swap in this runtime starts a process.
    const found = await swapsOf(runtime, runtime === "process" ? Math.ceil(size.swaps / 5) : size.swaps);
    rows.push({
      figure: `${found.swaps} swaps under load: ${runtime}`,
      measured: textOf(found),
      goal: "0 failed, flat",
      met: found.failed === 0 && found.growing.length === 0,
    });
  }
  return rows;
}

const size = process.argv.includes("--quick") ? quick : whole;
// Keeps this process alive: threads and processes of plugins do not.
const waiting = setInterval(() => {}, 1_000);
const rows = await rowsOf(size);
clearInterval(waiting);
console.log(`${new Date().toISOString().slice(0, 10)}, ${cpuModel()}, Node ${process.versions.node}\n`);
console.log("| figure | measured | goal |\n| --- | --- | --- |");
for (const { figure, measured, goal, met } of rows) {
  const verdict = goal === undefined ? "" : `${goal}: ${met === true ? "met" : "**missed**"}`;
  console.log(`| ${figure} | ${measured} | ${verdict} |`);
}
process.exit(0);
