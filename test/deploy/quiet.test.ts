// A sidecar whose service rests for half a minute serves the next burst as warm as the one before: V8's memory reducer,
// which throws optimised code away while no exchange is alive, is off by the flags of the image's command.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import http from "node:http";
import { test } from "node:test";
import { setTimeout as rest } from "node:timers/promises";
import { startService } from "../support/crew.ts";
import { entrypointIn } from "../support/dockerfile.ts";
import { mainFile, startNode } from "../support/process.ts";

const quietMs = 28_000;
const burstRequests = 1_000;
const warmUpRequests = 30_000;
const connections = 16;

/** CPU that all threads of a process have used. */
function cpuMs(pid: number): number {
  const tasks = readdirSync(`/proc/${pid}/task`);
  const times = tasks.map((task) => {
    try {
      return Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "latin1").split(" ")[0]);
    } catch {
      return 0; // a thread that has just ended
    }
  });
  return times.reduce((sum, ns) => sum + ns, 0) / 1e6;
}

/** Answers of 200, so many on each of some connections. */
async function burst(port: number, requests: number): Promise<void> {
  const agent = new http.Agent({ keepAlive: true, maxSockets: connections });
  const one = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const request = http.get({ port, host: "127.0.0.1", path: "/a", agent }, (response) => {
        response.resume().once("end", () => {
          if (response.statusCode === 200) resolve();
          else reject(new Error(`status ${response.statusCode}`));
        });
      });
      request.once("error", reject);
    });
  const lane = async (): Promise<void> => {
    for (let i = 0; i < requests / connections; i += 1) await one();
  };
  await Promise.all(Array.from({ length: connections }, lane));
  agent.destroy();
}

test("half a minute of quiet does not make the next burst twice as dear", async () => {
  const service = await startService((_request, response) => response.end("hello"));
  // The flags are what is tested: the image's bundle would be the same program.
  const flags = entrypointIn("").slice(1, -1);
  const sidecar = startNode([...flags, mainFile, "run"], {
    OUTRIGGER_LISTEN: "127.0.0.1:0",
    OUTRIGGER_ADMIN: "127.0.0.1:0",
    OUTRIGGER_UPSTREAM: service.url,
  });
  try {
    const port = Number(/"address":"127\.0\.0\.1:(\d+)"/.exec(await sidecar.said('"msg":"listening"'))?.[1]);
    const pid = sidecar.child.pid as number;
    const costOfBurst = async (): Promise<number> => {
      const before = cpuMs(pid);
      await burst(port, burstRequests);
      return (cpuMs(pid) - before) / burstRequests;
    };
    await burst(port, warmUpRequests);
    const before = Math.max(await costOfBurst(), await costOfBurst());
    await rest(quietMs); // the quiet itself is what is tested
    const after = await costOfBurst();
    const told = `${(before * 1000).toFixed(0)} µs a request before, ${(after * 1000).toFixed(0)} after`;
    console.log(`${quietMs / 1000} s of quiet: ${told}`);
    assert.ok(after <= before * 2, told);
  } finally {
    sidecar.child.kill("SIGKILL");
    service.close();
    service.closeAllConnections();
  }
});
