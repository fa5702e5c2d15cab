// Measures how long a sidecar's event loop is blocked while a large policy comes and goes, and how much memory that
// takes. `node test/bench/large-policy.ts [changes of each kind] [only rows that match this]`
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { stringify } from "yaml";
import { nodeFlags } from "../../deploy/node-flags.ts";
import { eventually, startRedis } from "../support/redis.ts";
import type { LoopReading } from "./loop-probe.ts";
import { largePolicy } from "../support/large-policy.ts";

const changes = Number(process.argv[2] ?? 3);
const only = new RegExp(process.argv[3] ?? "");
const root = join(import.meta.dirname, "../..");
const folder = mkdtempSync(join(tmpdir(), "outrigger-large-"));

const layer = {
  apiVersion: "outrigger/v1",
  pluginConfig: { logging: { level: "info" } },
  routes: [{ path: "/api/service-7/own/*", methods: ["GET"], timeout: 1_000 }],
};

interface Sidecar {
  readonly child: ChildProcess;
  readonly url: string;
}

async function start(env: Record<string, string>): Promise<Sidecar> {
  const preloaded = ["--import", join(import.meta.dirname, "loop-probe.ts")];
  const child = spawn(process.execPath, [...nodeFlags, ...preloaded, join(root, "src/main.ts"), "run"], {
    stdio: ["ignore", "pipe", "inherit", "ipc"],
    env: {
      PATH: process.env["PATH"],
      OUTRIGGER_LISTEN: "127.0.0.1:0",
      OUTRIGGER_ADMIN: "127.0.0.1:0",
      ...env,
    },
  });
  let line: string | undefined;
  child.stdout?.on("data", (chunk: Buffer) => {
    line ??= chunk
      .toString()
      .split("\n")
      .find((each) => each.includes('"msg":"listening"'));
  });
  await eventually("listening", () => line !== undefined, 20_000);
  return { child, url: `http://${(JSON.parse(line ?? "") as { address: string }).address}` };
}

/** Reads the loop's figures since the last reading. */
async function readLoop({ child }: Sidecar): Promise<LoopReading> {
  child.send("read");
  const [reading] = (await once(child, "message")) as [LoopReading];
  return reading;
}

function mebibytesOf({ child }: Sidecar, field: "VmRSS" | "VmHWM"): number {
  const status = readFileSync(`/proc/${child.pid}/status`, "utf8");
  return Math.round(Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1]) / 1024);
}

interface Change extends LoopReading {
  readonly inForceMs: number;
}

async function change(sidecar: Sidecar, mark: string, write: () => Promise<unknown>): Promise<Change> {
  await readLoop(sidecar);
  const startedMono = performance.now();
  await write();
  const isMarked = async (): Promise<boolean> => (await fetch(sidecar.url)).headers.get("x-mark") === mark;
  await eventually(mark, isMarked, 60_000);
  const inForceMs = performance.now() - startedMono;
  // Waits for the work after the swap: the old policy is closed and its memory released.
  await pause(1_000);
  return { ...(await readLoop(sidecar)), inForceMs };
}

type Write = (document: unknown) => Promise<void>;

async function measure(label: string, count: number, sidecar: Sidecar, write: Write): Promise<void> {
  const before = mebibytesOf(sidecar, "VmRSS");
  // Resets the peak of resident memory.
  writeFileSync(`/proc/${sidecar.child.pid}/clear_refs`, "5");
  const come: Change[] = [];
  const again: Change[] = [];
  const go: Change[] = [];
  for (let round = 0; round < changes; round += 1) {
    const [large, other, small] = [`${round}-large`, `${round}-other`, `${round}-small`];
    come.push(await change(sidecar, large, () => write(largePolicy(count, large))));
    again.push(await change(sidecar, other, () => write(largePolicy(count, other))));
    go.push(await change(sidecar, small, () => write(largePolicy(5, small))));
  }
  const peak = mebibytesOf(sidecar, "VmHWM");
  const after = mebibytesOf(sidecar, "VmRSS");
  const most = (list: readonly Change[], field: keyof Change): string =>
    Math.max(...list.map((each) => each[field])).toFixed(0);
  const stops = (list: readonly Change[]): string => `${most(list, "maxCpuMs")} (${most(list, "maxMs")})`;
  console.log(
    `| ${label} | ${count} | ${stops(come)} | ${stops(again)} | ${stops(go)} | ${most(come, "inForceMs")} | ${before} / ${peak} / ${after} |`,
  );
}

const service = http.createServer((_request, response) => response.end("the service"));
service.listen(0, "127.0.0.1");
await once(service, "listening");
const upstream = `http://127.0.0.1:${(service.address() as AddressInfo).port}`;
const redis = await startRedis();

async function measureRow(label: string, count: number): Promise<void> {
  const file = join(folder, "policy.yaml");
  const write: Write = async (document) => {
    if (label !== "YAML, file") {
      await redis.cli.set("outrigger:policy", JSON.stringify(document));
      return;
    }
    writeFileSync(`${file}.new`, stringify(document));
    renameSync(`${file}.new`, file);
  };
  await redis.cli.flushall();
  if (label === "JSON, layer") await redis.cli.set("outrigger:policy:orders", JSON.stringify(layer));
  await write(largePolicy(5, "first"));
  const sidecar = await start({
    OUTRIGGER_SERVICE: "orders",
    OUTRIGGER_UPSTREAM: upstream,
    OUTRIGGER_STATE_DIR: join(folder, "state"),
    ...(label === "YAML, file" ? { OUTRIGGER_POLICY_FILE: file } : { REDIS_URL: redis.url }),
  });
  for (let asked = 0; asked < 500; asked += 1) await (await fetch(sidecar.url)).arrayBuffer();
  await pause(1_000);
  await measure(label, count, sidecar, write);
  sidecar.child.kill("SIGKILL");
  await once(sidecar.child, "exit");
}

console.log(
  "| policy | routes | longest stop when it comes, ms of CPU (by the clock) | when it changes | when it goes | in force after ms | MiB before / at most / after |",
);
console.log("| --- | --- | --- | --- | --- | --- | --- |");
try {
  for (const [label, count] of [
    ["JSON", 100],
    ["JSON", 1_000],
    ["JSON", 9_000],
    ["JSON, layer", 9_000],
    ["YAML, file", 1_000],
    ["YAML, file", 4_000],
  ] as const) {
    if (only.test(`${label} ${count}`)) await measureRow(label, count);
  }
} finally {
  await redis.close();
  service.close();
  service.closeAllConnections();
  rmSync(folder, { recursive: true });
}
