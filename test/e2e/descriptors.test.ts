// A sidecar that may open only 64 file descriptors, with more clients than that.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import net from "node:net";
import { after, test } from "node:test";
import { startService } from "../support/crew.ts";
import { mainFile } from "../support/process.ts";
import { connectRaw } from "../support/raw-http.ts";
import { eventually } from "../support/redis.ts";

const service = await startService((_request, response) => response.end("served"));
after(() => {
  service.close();
  service.closeAllConnections();
});

test("with few descriptors clients are bounded, told of once, and health and those inside are served", async () => {
  const child = spawn("prlimit", ["--nofile=64:64", process.execPath, mainFile, "run"], {
    stdio: ["ignore", "pipe", "inherit"],
    env: {
      PATH: process.env["PATH"],
      OUTRIGGER_LISTEN: "127.0.0.1:0",
      OUTRIGGER_ADMIN: "127.0.0.1:0",
      OUTRIGGER_UPSTREAM: service.url,
      // All of them come from one address here.
      OUTRIGGER_CLIENT_SHARE: "100",
    },
  });
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
  const idle: net.Socket[] = [];
  try {
    const listening = /"address":"127\.0\.0\.1:(\d+)","admin":"([^"]+)"/;
    await eventually("it listens", () => listening.test(said));
    const [, port, admin] = listening.exec(said) as unknown as [string, string, string];
    assert.match(said, /"maxOpenFiles":64,.*OUTRIGGER_MAX_CONNECTIONS/);
    const inside = await connectRaw(Number(port));
    const ask = async (): Promise<string> => {
      inside.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
      return (await inside.answer()).body;
    };
    assert.equal(await ask(), "served");
    let closed = 0;
    for (let i = 0; i < 80; i += 1) {
      const socket = net.connect(Number(port), "127.0.0.1");
      socket.on("error", () => undefined).once("close", () => (closed += 1));
      idle.push(socket);
    }
    const excess = (): boolean => said.includes("too many connections of clients");
    await eventually("the excess is closed and told", () => closed > 50 && excess());
    assert.equal((await fetch(`http://${admin}/readyz`)).status, 200);
    assert.equal(await ask(), "served");
    // Some may be on their way yet.
    await eventually("each that was closed is counted", async () => {
      const metrics = await (await fetch(`http://${admin}/metrics`)).text();
      const [, refused] = /^outrigger_connections_refused_total\{.*\} (\d+)$/m.exec(metrics) ?? [];
      return Number(refused) === closed;
    });
    assert.equal(said.split("too many connections of clients").length, 2, "one line");
    inside.end();
  } finally {
    idle.forEach((socket) => socket.destroy());
    child.kill("SIGKILL");
  }
});
