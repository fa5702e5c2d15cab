// A sidecar whose service rests for half a minute serves the next burst as warm as the one before: V8's memory reducer,
// which throws optimised code away while no exchange is alive, is off by the flags of the image's command.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { connect } from "node:net";
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

/** One connection's requests, one after the other, without the cost of a client of HTTP: what is measured is not this. */
async function lane(port: number, requests: number): Promise<void> {
  const socket = connect(port, "127.0.0.1").setEncoding("latin1");
  const request = `GET /a HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`;
  let [left, heard] = [requests, ""];
  socket.on("data", (chunk: string) => {
    heard += chunk;
    if (!heard.endsWith("\r\n\r\nhello")) return;
    if (!heard.startsWith("HTTP/1.1 200 ")) socket.destroy(new Error(heard));
    heard = "";
    left -= 1;
    if (left > 0) socket.write(request);
    else socket.end();
  });
  socket.write(request);
  await once(socket, "close");
  assert.equal(left, 0, heard);
}

/** Answers of 200, so many on each of some connections. */
async function burst(port: number, requests: number): Promise<void> {
  await Promise.all(Array.from({ length: connections }, () => lane(port, Math.ceil(requests / connections))));
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
