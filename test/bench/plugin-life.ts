// Measures how external plugins start and how they are stopped.
import { readFileSync } from "node:fs";
import http from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { createWasmPlugin } from "../../src/runtime/wasm/wasm-plugin.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { exchangeOf, setUpPlugin, startSidecar, type SetUpPlugin } from "../../src/testing/testing.ts";
import { extensionOf, guestHosts } from "../support/wasm/guest-scene.ts";
import { scriptGuest } from "../support/wasm/guests.ts";
import { PacedLoad } from "./paced-load.ts";
import { hookContenders } from "./plugin-contenders.ts";
import { type BenchSize, children, median } from "./plugin-costs.ts";

const mebibyte = 1_048_576;
const pageBytes = 4_096;

export interface Started {
  readonly name: string;
  readonly startMs: number;
  readonly memoryMiB: number;
}

/** Measures the time to the first hook, and the memory it takes. */
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
      // The failure was already reported with the plugin's costs.
    }
    for (const plugin of running) await plugin[Symbol.asyncDispose]();
  }
  return found;
}

/** Resident memory of this process and its children. */
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

/** Measures the time from the call of a hook that never ends to its failure. */
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

/** Measures how long other requests wait on a sidecar whose guest is in an endless loop. */
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
    const others = new PacedLoad(`${sidecar.url}/`, 16);
    await delay(seconds * 1_000);
    const aloneMs = others.percentile(0.99);
    for (let i = 0; i < seconds * 10; i += 1) {
      http.get(`${sidecar.url}/spin`, (answer) => answer.resume()).on("error", () => {});
      await delay(100);
    }
    found.push({ name: hosts, aloneMs, besideMs: others.percentile(0.99) });
    await others.end();
  }
  return found;
}
