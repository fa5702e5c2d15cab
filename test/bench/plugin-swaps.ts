// `node test/bench/plugin-swaps.ts [--swaps 500] [--runtime wasm]`: replaces versions of an external plugin, each a
// package of its own, in a sidecar under load. Prints requests and failures, the worst latency, and the sidecar's
// resources after a fifth of the swaps and at the end. Exit code 1 if a request failed or a resource grows.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { nodeFlags } from "../../deploy/node-flags.ts";
import type { RuntimeName } from "../../src/extensions/manifest.ts";
import { checkedManifest, digestOf, writePackage } from "../../src/extensions/package.ts";
import { eventually, startRedis } from "../support/redis.ts";
import { cGuest } from "../support/wasm/guests.ts";
import { type LiveHeap, openLiveHeap } from "./live-heap.ts";
import { findSample } from "./metrics-text.ts";
import { PacedLoad } from "./paced-load.ts";
import { median } from "./plugin-costs.ts";
import { scriptedPackage } from "./plugin-contenders.ts";
import { folder, pause, rssMiB, start } from "./processes.ts";
import { grows, trendOf } from "./trend.ts";

/** Watched resources, and by how much each may grow in a hundred swaps. */
const watched = {
  rssMiB: 2,
  // Timers of half a minute and compiled code still add to it; a version that leaks keeps 20 KiB and more.
  liveHeapMiB: 1,
  descriptors: 1,
  resources: 1,
  threads: 1,
  processes: 0.5,
  series: 1,
} as const;
type Held = Record<keyof typeof watched, number>;

export interface Swapped {
  readonly runtime: RuntimeName;
  readonly swaps: number;
  readonly answered: number;
  readonly failed: number;
  readonly swapMs: number;
  /** Worst latency without the first swaps, whose code V8 has not compiled yet; those are in `worstAtFirstMs`. */
  readonly worstMs: number;
  readonly worstAtFirstMs: number;
  /** After a fifth of the swaps, when everything that stays loaded is there. */
  readonly before: Held;
  readonly after: Held;
  readonly growing: readonly string[];
}

export const runtimes: readonly RuntimeName[] = ["wasm", "trusted", "process"];
const clients = 8;
/** A swap that takes longer is an error. */
const swapLimitMs = 20_000;

export async function swapsOf(runtime: RuntimeName, swaps: number): Promise<Swapped> {
  const redis = await startRedis();
  const packages = join(folder, `packages-${runtime}`);
  mkdirSync(packages);
  const code = runtime === "wasm" ? await cGuest("fields") : undefined;
  const put = (version: number): Promise<unknown> =>
    redis.cli.set("outrigger:policy", JSON.stringify(policyOf(packages, runtime, version, code)));
  await put(0);
  const service = start(process.execPath, [join(import.meta.dirname, "soak-service.ts")], {
    cores: undefined,
  });
  const [, servicePort] = await service.said(/port (\d+)/u);
  const args = [...nodeFlags, "--inspect=127.0.0.1:0", "src/main.ts", "run"];
  const sidecar = start(process.execPath, args, {
    cores: undefined,
    env: {
      OUTRIGGER_LISTEN: "127.0.0.1:0",
      OUTRIGGER_ADMIN: "127.0.0.1:0",
      OUTRIGGER_UPSTREAM: `http://127.0.0.1:${servicePort}`,
      OUTRIGGER_PLUGIN_DIR: packages,
      REDIS_URL: redis.url,
    },
  });
  try {
    const [, port, adminPort] = await sidecar.said(
      /"address":"127\.0\.0\.1:(\d+)","admin":"127\.0\.0\.1:(\d+)"/u,
    );
    const [heapUrl] = await sidecar.said(/ws:\/\/127\.\S+/u);
    const heap = await openLiveHeap(heapUrl);
    const look = (): Promise<Held> => heldBy(sidecar.pid, `http://127.0.0.1:${adminPort}`, heap);
    const found = await swapUnderLoad(`http://127.0.0.1:${port}/api/a`, { swaps, put, look });
    heap.close();
    return { runtime, swaps, ...found };
  } finally {
    await sidecar.stop();
    await service.stop();
    await redis.close();
    rmSync(packages, { recursive: true, force: true });
  }
}

interface Swapping {
  readonly swaps: number;
  readonly put: (version: number) => Promise<unknown>;
  readonly look: () => Promise<Held>;
}

async function swapUnderLoad(
  url: string,
  { swaps, put, look }: Swapping,
): Promise<Omit<Swapped, "runtime" | "swaps">> {
  let seen = "";
  const load = new PacedLoad(url, clients, ({ headers }) => (seen = String(headers["x-version"])));
  await eventually("the first version answers", () => seen === "0", swapLimitMs);
  const times: number[] = [];
  const series: [number, Held][] = [];
  const worst: number[] = [];
  load.percentile(1);
  for (let version = 1; version <= swaps; version += 1) {
    const from = performance.now();
    await put(version);
    while (seen !== String(version)) {
      if (performance.now() - from > swapLimitMs) throw new Error(`version ${version} is not in force`);
      await pause(2);
    }
    times.push(performance.now() - from);
    if (version % Math.ceil(swaps / 20) !== 0) continue;
    worst.push(load.percentile(1));
    series.push([version, await look()]);
    // `look` collects the whole heap: requests that waited for that do not count against the swap.
    await pause(100);
    load.percentile(1);
  }
  // Processes of earlier versions end a little later.
  await pause(2_000);
  series.push([swaps, await look()]);
  await load.end();
  // The first readings are left out: code is still being compiled and the heap finds its size.
  const settled = series.slice(4);
  const growing = (Object.keys(watched) as (keyof Held)[]).filter((name) => {
    const points = settled.map(([version, held]) => [version / 100, held[name]] as const);
    return grows(trendOf(points), watched[name]);
  });
  const [before, after] = [settled[0], settled.at(-1)].map((each) => each?.[1] as Held) as [Held, Held];
  const { answered, failed } = load;
  return {
    answered,
    failed,
    worstMs: Math.max(...worst.slice(2)),
    worstAtFirstMs: Math.max(...worst.slice(0, 2)),
    swapMs: median(times),
    before,
    after,
    growing,
  };
}

function policyOf(packages: string, runtime: RuntimeName, version: number, code?: Buffer): object {
  const name = `${version}.${runtime === "wasm" ? "wasm" : "cjs"}`;
  const manifest = { name: "fields", version: `1.0.${version}`, priority: 900, hooks: ["onRequest"] };
  const bytes =
    code === undefined ? scriptedPackage(`1.0.${version}`) : writePackage(code, checkedManifest(manifest));
  writeFileSync(join(packages, name), bytes);
  return {
    apiVersion: "outrigger/v1",
    plugins: ["transform", "fields"],
    pluginConfig: { transform: { addResponseHeaders: { "x-version": String(version) } } },
    extensions: {
      fields: {
        source: `file:${join(packages, name)}`,
        sha256: digestOf(bytes),
        runtime,
        // A busy machine must not make a plugin exceed its limit.
        limits: { timeMs: 5_000 },
      },
    },
  };
}

async function heldBy(pid: number, admin: string, heap: LiveHeap): Promise<Held> {
  const liveHeapMiB = await heap.mebibytes();
  const text = await (await fetch(`${admin}/metrics`)).text();
  const { descriptors, resources } = findSample(text);
  const series = text.split("\n").filter((line) => line.startsWith("outrigger_")).length;
  const threads = readdirSync(`/proc/${pid}/task`);
  const processes = childrenOf(pid, threads);
  return {
    rssMiB: rssMiB(pid),
    liveHeapMiB,
    descriptors,
    resources,
    threads: threads.length,
    processes,
    series,
  };
}

function childrenOf(pid: number, threads: readonly string[]): number {
  // The kernel lists a child with the thread that started it.
  const listed = threads.map((thread) => readFileSync(`/proc/${pid}/task/${thread}/children`, "latin1"));
  return listed.join("").split(" ").filter(Boolean).length;
}

function lineOf(name: string, before: number, after: number): string {
  const digits = name.endsWith("MiB") ? 1 : 0;
  return `${name} ${before.toFixed(digits)} -> ${after.toFixed(digits)}`;
}

export function textOf({ before, after, growing, ...found }: Swapped): string {
  const held = (Object.keys(watched) as (keyof Held)[]).map((name) =>
    lineOf(name, before[name], after[name]),
  );
  return (
    `${found.failed} of ${found.answered} requests failed, ${found.swapMs.toFixed(0)} ms a swap, ` +
    `worst answer ${found.worstMs.toFixed(0)} ms (${found.worstAtFirstMs.toFixed(0)} in the first tenth); ${held.join(", ")}; ` +
    (growing.length === 0 ? "flat" : `GROWS: ${growing.join(", ")}`)
  );
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { swaps: { type: "string", default: "500" }, runtime: { type: "string", multiple: true } },
  });
  for (const runtime of runtimes) {
    if (values.runtime?.includes(runtime) === false) continue;
    const found = await swapsOf(runtime, Number(values.swaps));
    console.log(`${runtime}: ${found.swaps} swaps: ${textOf(found)}`);
    if (found.failed > 0 || found.growing.length > 0) process.exitCode = 1;
  }
}
