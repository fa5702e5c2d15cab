// Bodies stream: a gibibyte passes each way with hardly any growth of resident memory, and slow peers slow fast ones
// down.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { startNode } from "../support/process.ts";
import { connectRaw, requestText } from "../support/raw-http.ts";
import { startSidecar } from "../support/sidecar.ts";

const mebibyte = 1024 * 1024;
const gibibyte = 1024 * mebibyte;

describe("a gibibyte", () => {
  let service: http.Server;
  let sidecar: Awaited<ReturnType<typeof startNode>>;
  let folder: string;
  let url: string;
  const block = Buffer.alloc(mebibyte, 1);

  before(async () => {
    service = http.createServer((request, response) => {
      let received = 0;
      request.on("data", (chunk: Buffer) => (received += chunk.length));
      request.once("end", () => {
        if (request.method === "POST") {
          response.end(String(received));
          return;
        }
        response.setHeader("Content-Length", gibibyte);
        let left = gibibyte;
        const more = (): void => {
          while (left > 0) {
            left -= block.length;
            if (!response.write(block)) {
              response.once("drain", more);
              return;
            }
          }
          response.end();
        };
        more();
      });
    });
    service.listen(0, "127.0.0.1");
    await once(service, "listening");
    folder = mkdtempSync(join(tmpdir(), "outrigger-large-"));
    const policy = join(folder, "policy.json");
    writeFileSync(policy, JSON.stringify({ apiVersion: "outrigger/v1", plugins: ["logging", "transform"] }));
    sidecar = startNode(["src/main.ts", "run"], {
      OUTRIGGER_LISTEN: "127.0.0.1:0",
      OUTRIGGER_ADMIN: "127.0.0.1:0",
      OUTRIGGER_UPSTREAM: `http://127.0.0.1:${(service.address() as AddressInfo).port}`,
      OUTRIGGER_POLICY_FILE: policy,
    });
    const address = await new Promise<string>((resolve) => {
      let text = "";
      sidecar.child.stdout?.on("data", (chunk: Buffer) => {
        text += chunk.toString();
        const found = /"address":"([^"]+)".*"msg":"listening"/.exec(text)?.[1];
        if (found !== undefined) resolve(found);
      });
    });
    url = `http://${address}`;
  });
  after(async () => {
    sidecar.child.kill("SIGKILL");
    await sidecar.end;
    service.closeAllConnections();
    service.close();
    rmSync(folder, { recursive: true });
  });

  const resident = (): number =>
    Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${sidecar.child.pid}/status`, "utf8"))?.[1]) * 1024;

  /** Runs the transfer while looking at the sidecar's memory. @returns by how much it grew at the most */
  const growth = async (transfer: () => Promise<void>): Promise<number> => {
    // The first requests load code; what is measured is what a body adds.
    for (let i = 0; i < 20; i += 1)
      await (await fetch(url, { method: "POST", body: "x".repeat(10_000) })).text();
    const before = resident();
    let most = before;
    const watch = setInterval(() => (most = Math.max(most, resident())), 20);
    await transfer();
    clearInterval(watch);
    return most - before;
  };

  it("up: less than 64 MiB more in memory", { timeout: 120_000 }, async () => {
    const grown = await growth(async () => {
      const request = http.request(url, { method: "POST", headers: { "content-length": gibibyte } });
      const answered = once(request, "response");
      for (let sent = 0; sent < gibibyte; sent += block.length) {
        if (!request.write(block)) await once(request, "drain");
      }
      request.end();
      const [response] = (await answered) as [http.IncomingMessage];
      assert.equal(String(await response.toArray()), String(gibibyte));
    });
    assert.ok(grown < 64 * mebibyte, `${Math.round(grown / mebibyte)} MiB`);
  });

  it("down: less than 64 MiB more in memory", { timeout: 120_000 }, async () => {
    const grown = await growth(async () => {
      let received = 0;
      const request = http.get(url);
      const [response] = (await once(request, "response")) as [http.IncomingMessage];
      response.on("data", (chunk: Buffer) => (received += chunk.length));
      await once(response, "end");
      assert.equal(received, gibibyte);
    });
    assert.ok(grown < 64 * mebibyte, `${Math.round(grown / mebibyte)} MiB`);
  });
});

describe("a peer that stalls", () => {
  const policy = { plugins: ["logging"] };

  it("a client that takes nothing holds the service up, and is cut off after the stall limit", async () => {
    let written = 0;
    const sidecar = await startSidecar({
      policy,
      env: { OUTRIGGER_CLIENT_STALL_MS: "300", OUTRIGGER_MIN_BYTES_PER_SECOND: "1000000" },
      upstream: (_request, response) => {
        const chunk = Buffer.alloc(64 * 1024);
        const more = (): void => {
          while (!response.destroyed) {
            written += chunk.length;
            if (!response.write(chunk)) break;
          }
        };
        response.on("drain", more);
        more();
      },
    });
    const client = await connectRaw(sidecar.port);
    client.socket.pause();
    client.send(requestText("GET", "/"));
    const line = await sidecar.line((entry) => entry["msg"] === "request");
    assert.equal(line["end"], "client-aborted");
    assert.ok(written < 64 * mebibyte, `${written} bytes were taken from the service`);
    client.socket.destroy();
    await sidecar.stop();
  });

  it("a client that stops sending its body is answered 408", async () => {
    const sidecar = await startSidecar({
      policy,
      env: { OUTRIGGER_CLIENT_STALL_MS: "200" },
      upstream: (request) => void request.resume(),
    });
    const client = await connectRaw(sidecar.port);
    client.send(requestText("POST", "/", ["Content-Length: 10"], "half"));
    const answer = await client.answer();
    assert.equal(answer.status, 408);
    await client.closed;
    await sidecar.stop();
  });

  it("a client that never ends its head is answered 408", async () => {
    const sidecar = await startSidecar({
      policy,
      env: { OUTRIGGER_HEADER_TIMEOUT_MS: "200" },
      upstream: (_request, response) => response.end(),
    });
    const client = await connectRaw(sidecar.port);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n");
    assert.equal((await client.answer()).status, 408);
    await client.closed;
    await sidecar.stop();
  });

  it("a body over the limit is 413, announced or not, and its line tells no wait", async () => {
    const sidecar = await startSidecar({
      policy,
      env: { OUTRIGGER_MAX_BODY_BYTES: "10" },
      upstream: (request, response) => void request.resume().once("end", () => response.end("taken")),
    });
    const announced = await connectRaw(sidecar.port);
    announced.send(requestText("POST", "/announced", ["Content-Length: 11"], "0123456789a"));
    assert.equal((await announced.answer()).status, 413);
    const chunked = await connectRaw(sidecar.port);
    chunked.send(
      requestText("POST", "/chunked", ["Transfer-Encoding: chunked"], "b\r\n0123456789a\r\n0\r\n\r\n"),
    );
    assert.equal((await chunked.answer()).status, 413);
    const waiting = await connectRaw(sidecar.port);
    waiting.send(requestText("POST", "/waiting", ["Content-Length: 11"]));
    assert.equal((await waiting.answer()).status, 413);
    const line = await sidecar.line((entry) => entry["path"] === "/waiting");
    assert.ok((line["durationMs"] as number) < 500);
    const fits = await fetch(sidecar.url, { method: "POST", body: "0123456789" });
    assert.equal(await fits.text(), "taken");
    await sidecar.stop();
  });
});
