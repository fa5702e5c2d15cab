// How plugins of others start, are stopped, and are swapped under load.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { RuntimeName } from "../../src/extensions/manifest.ts";
import { digestOf } from "../../src/extensions/package.ts";
import { createWasmPlugin } from "../../src/runtime/wasm/wasm-plugin.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { exchangeOf, setUpPlugin, startSidecar, type SetUpPlugin } from "../../src/testing/testing.ts";
import { extensionOf, guestHosts } from "../support/wasm/guest-scene.ts";
import { cGuest, scriptGuest } from "../support/wasm/guests.ts";
import { hookContenders, scriptedPackage } from "./plugin-contenders.ts";
import { type BenchSize, children, median } from "./plugin-costs.ts";

const mebibyte = 1_048_576;
const pageBytes = 4_096;

export interface Started {
  readonly name: string;
  readonly startMs: number;
  readonly memoryMiB: number;
}

/** From nothing to the first hook, and what that takes of memory. */
export async function startAndMemory({ rounds }: BenchSize): Promise<Started[]> {
  const found: Started[] = [];
  for (const { name, atOnce, make } of hookContenders) {
    if (atOnce > 1) continue;
    const times: number[] = [];
    const running: SetUpPlugin[] = [];
    const before = residentBytes();
    try {
      for (let i = 0; i < rounds; i += 1) {
        const from = performance.now();
        const plugin = await setUpPlugin(await make(), { clock: systemClock });
        await plugin.hooks.onRequest?.(exchangeOf());
        times.push(performance.now() - from);
        running.push(plugin);
      }
      const memoryMiB = (residentBytes() - before) / rounds / mebibyte;
      found.push({ name, startMs: median(times), memoryMiB });
    } catch {
      // Said already where its costs are measured.
    }
    for (const plugin of running) await plugin[Symbol.asyncDispose]();
  }
  return found;
}

/** Of this process and its children. */
function residentBytes(): number {
  const of = (pid: string): number => {
    try {
      return Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]) * pageBytes;
    } catch {
      return 0;
    }
  };
  return ["self", ...children()].reduce((sum, pid) => sum + of(pid), 0);
}

const spinning = { limits: { timeMs: 20, restartsPerMinute: 60 }, failMode: "closed" } as const;

/** From the call of a hook that never ends to its failure. */
export async function stopTimes({ rounds }: BenchSize): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  for (const hosts of guestHosts) {
    const times: number[] = [];
    for (let i = 0; i < rounds; i += 1) {
      const plugin = createWasmPlugin(extensionOf(await scriptGuest(), spinning), { hosts });
      const options = { configuration: "request spin" };
      await using running = await setUpPlugin(plugin, { options, clock: systemClock });
      const from = performance.now();
      try {
        await running.hooks.onRequest?.(exchangeOf());
      } catch {
        times.push(performance.now() - from);
      }
    }
    found.set(hosts, median(times));
  }
  return found;
}

export interface Beside {
  readonly name: string;
  readonly aloneMs: number;
  readonly besideMs: number;
}

/** What others wait on a sidecar whose guest spins. */
export async function besideSpinning({ seconds }: BenchSize): Promise<Beside[]> {
  const found: Beside[] = [];
  for (const hosts of guestHosts) {
    const plugin = createWasmPlugin(extensionOf(await scriptGuest(), spinning), { hosts });
    await using sidecar = await startSidecar({
      plugins: [plugin],
      policy: {
        plugins: [],
        routes: [
          { path: "/spin", plugins: ["guest"], pluginConfig: { guest: { configuration: "request spin" } } },
          { path: "/*" },
        ],
      },
      upstream: (_request, response) => response.end("ok"),
    });
    const others = new Load(`${sidecar.url}/`, 16);
    await delay(seconds * 1_000);
    const aloneMs = others.p99();
    for (let i = 0; i < seconds * 10; i += 1) {
      http.get(`${sidecar.url}/spin`, (answer) => answer.resume()).on("error", () => {});
      await delay(100);
    }
    found.push({ name: hosts, aloneMs, besideMs: others.p99() });
    await others.end();
  }
  return found;
}

/** Clients that ask one request after the other, 100 a second each at most. */
class Load {
  readonly #agent = new http.Agent({ keepAlive: true });
  readonly #clients: Promise<void>[];
  #times: number[] = [];
  #ended = false;
  answered = 0;
  failed = 0;

  constructor(url: string, clients: number) {
    this.#clients = Array.from({ length: clients }, () => this.#askOn(url));
  }

  /** Since it was asked last. */
  p99(): number {
    const sorted = this.#times.toSorted((a, b) => a - b);
    this.#times = [];
    return sorted[Math.floor(sorted.length * 0.99)] ?? Number.NaN;
  }

  async end(): Promise<void> {
    this.#ended = true;
    await Promise.all(this.#clients);
    this.#agent.destroy();
  }

  async #askOn(url: string): Promise<void> {
    while (!this.#ended) {
      const from = performance.now();
      const status = await new Promise<number>((resolve) => {
        http
          .get(url, { agent: this.#agent }, (answer) => {
            answer.resume().once("close", () => resolve(answer.statusCode ?? 0));
          })
          .once("error", () => resolve(0));
      });
      this.#times.push(performance.now() - from);
      this.answered += 1;
      if (status !== 200) this.failed += 1;
      await delay(10);
    }
  }
}

export interface Swapped {
  readonly name: string;
  readonly count: number;
  readonly answered: number;
  readonly failed: number;
  readonly swapMs: number;
  readonly grownMiB: number;
}

/** Two versions of a package take turns in a policy, while requests go on. */
export async function swaps({ swaps: count }: BenchSize): Promise<Swapped[]> {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-bench-"));
  try {
    const found: Swapped[] = [];
    for (const runtime of ["wasm", "trusted", "process"] as const) {
      // Each of them starts a process.
      const one = await swap(folder, runtime, runtime === "process" ? Math.ceil(count / 10) : count);
      if (one !== undefined) found.push(one);
    }
    return found;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function swap(folder: string, runtime: RuntimeName, count: number): Promise<Swapped | undefined> {
  const versions = await versionsOf(folder, runtime);
  const policyOf = (version: number): Record<string, unknown> => ({
    plugins: [],
    extensions: { fields: versions[version % versions.length] },
    routes: [{ path: "/*", plugins: ["fields"] }],
  });
  await using sidecar = await startSidecar({
    policy: policyOf(0),
    upstream: (_request, response) => response.end("ok"),
  });
  const isInForce = ({ msg }: Record<string, unknown>): boolean => msg === "policy in force";
  const inForce = (): number => sidecar.lines.filter(isInForce).length;
  const first = await sidecar.line((line) => isInForce(line) || Number(line["level"]) >= 50);
  if (!isInForce(first)) {
    console.log(`swaps, ${runtime}: left out: ${JSON.stringify(first)}`);
    return undefined;
  }
  const load = new Load(`${sidecar.url}/`, 16);
  const times: number[] = [];
  let before = 0;
  for (let i = 1; i <= count; i += 1) {
    const expected = inForce() + 1;
    const from = performance.now();
    sidecar.setPolicy(policyOf(i));
    while (inForce() < expected) await delay(2);
    times.push(performance.now() - from);
    // What is loaded for ever is loaded by then.
    if (i === Math.ceil(count / 10)) before = settledBytes();
  }
  const grownMiB = (settledBytes() - before) / mebibyte;
  await load.end();
  return {
    name: runtime,
    count,
    answered: load.answered,
    failed: load.failed,
    swapMs: median(times),
    grownMiB,
  };
}

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

function settledBytes(): number {
  collectGarbage();
  return residentBytes();
}

/** Entries of two versions of the package. */
async function versionsOf(folder: string, runtime: RuntimeName): Promise<Record<string, unknown>[]> {
  const packages =
    runtime === "wasm"
      ? [await cGuest("fields"), await cGuest("fields", ["-DARENA=65536"])]
      : [scriptedPackage("1.0.0"), scriptedPackage("1.0.1")];
  return packages.map((bytes, index) => {
    const path = join(folder, `${runtime}-${index}.${runtime === "wasm" ? "wasm" : "cjs"}`);
    writeFileSync(path, bytes);
    // None is to be ended because the machine is busy.
    const limits = { timeMs: 5_000 };
    return { source: `file:${path}`, sha256: digestOf(bytes), runtime, priority: 900, limits };
  });
}
