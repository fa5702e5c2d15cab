// Measures a crowd of connections, each of which always has a request in flight: which requests are answered, and how
// much memory the sidecar takes and gives back. `node test/bench/crowd.ts [--connections 4000] [--seconds 8] [--command
// LINE]`
import { parseArgs } from "node:util";
import { bundledCommand } from "./bundled.ts";
import { startSidecar } from "./contenders.ts";
import { runLoad } from "./load.ts";
import { findProgram } from "./machine.ts";
import { pause, rssMiB } from "./processes.ts";
import type { Traffic } from "./requests.ts";
import { createScene } from "./scene.ts";

const { values: chosen } = parseArgs({
  options: {
    connections: { type: "string", default: "4000" },
    seconds: { type: "string", default: "8" },
    command: { type: "string" },
  },
});
const connections = Number(chosen.connections);
const seconds = Number(chosen.seconds);

const row = (name: string, value: string): void => console.log(`${name.padEnd(50)} ${value}`);

const scene = await createScene(chosen.command ?? bundledCommand());
const tools = { wrk: findProgram("wrk"), cores: scene.cores.load };
// Each request waits for those before it: longer than the default of 2 s if the machine has other work.
const env = { OUTRIGGER_UPSTREAM_CONNECT_TIMEOUT_MS: "60000" };
const policy = { document: { apiVersion: "outrigger/v1", plugins: ["logging"] }, needsRedis: false };
const sidecar = await startSidecar(policy, scene, scene.cores.contender, env);
const resident = (when: string): void => row(`resident, ${when}`, `${rssMiB(sidecar.pid).toFixed(0)} MiB`);
const traffic: Traffic = { kind: "closed", connections: 32, path: "/" };

async function load(some: Traffic): Promise<void> {
  const during = pause(seconds * 900).then(() => resident(`${some.connections} connections asking`));
  const { requests, failures, failure } = await runLoad(some, sidecar.port, seconds, tools);
  await during;
  row(`${some.connections} connections`, `${requests} answers of 2xx, ${failures} others ${failure}`);
}

await pause(1_000);
resident("at start");
await load(traffic);
for (let wave = 0; wave < 2; wave += 1) {
  await load({ ...traffic, connections });
  for (const [waitSeconds, afterSeconds] of [
    [1, 1],
    [9, 10],
    [20, 30],
  ] as const) {
    await pause(waitSeconds * 1_000);
    resident(`${afterSeconds} s after they closed`);
  }
}
await sidecar.stop();
await scene.stop();
