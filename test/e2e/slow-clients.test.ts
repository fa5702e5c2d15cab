// A slow client costs only itself: what it delays, and what continues.
import assert from "node:assert/strict";
import { connect } from "node:net";
import type http from "node:http";
import { once } from "node:events";
import { afterEach, describe, it } from "node:test";
import { connectRaw } from "../support/raw-client.ts";
import { RawPeer } from "../support/raw-peer.ts";
import { requestText } from "../support/raw-http.ts";
import { eventually } from "../support/redis.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

interface Heard {
  readonly path: string;
  readonly headers: http.IncomingHttpHeaders;
  body: string;
}

let sidecar: TestSidecar | undefined;
let heard: Heard[] = [];

async function start(env: Record<string, string> = {}): Promise<TestSidecar> {
  heard = [];
  sidecar = await startSidecar({
    policy: {
      plugins: ["logging"],
      routes: [
        { path: "/*" },
        { path: "/streams", bufferRequestBytes: 0 },
        { path: "/few", bufferRequestBytes: 10 },
      ],
    },
    env,
    upstream: (request, response) => {
      const one: Heard = { path: request.url ?? "", headers: request.headers, body: "" };
      heard.push(one);
      request.on("data", (chunk: Buffer) => (one.body += chunk.toString()));
      if (request.url === "/early") response.write("begun");
      request.once("end", () => response.end("done"));
    },
  });
  return sidecar;
}

async function connectFrom(localAddress: string, port: number): Promise<RawPeer> {
  const socket = connect({ host: "127.0.0.1", port, localAddress });
  await once(socket, "connect");
  return new RawPeer(socket);
}

const post = (path: string, fields: string[], body = ""): string => requestText("POST", path, fields, body);

afterEach(async () => {
  await sidecar?.stop();
  sidecar = undefined;
});

describe("a request body", () => {
  for (const bytes of [10, 100_000]) {
    it(`of ${bytes} bytes that do not come holds no connection to the service`, async () => {
      const { port, url } = await start({ OUTRIGGER_UPSTREAM_CONNECTIONS: "2" });
      const slow = await Promise.all(Array.from({ length: 10 }, () => connectRaw(port)));
      for (const client of slow) client.send(post("/", [`Content-Length: ${bytes}`], "a"));
      const answers = await Promise.all(Array.from({ length: 20 }, () => fetch(`${url}/quick`)));
      assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
      assert.deepEqual(new Set(heard.map(({ path }) => path)), new Set(["/quick"]));
      for (const client of slow) client.send("b".repeat(bytes - 1));
      for (const client of slow) assert.match(await client.until("done"), /^HTTP\/1\.1 200 /);
      for (const client of slow) client.end();
      assert.deepEqual(new Set(heard.slice(20).map(({ body }) => body.length)), new Set([bytes]));
    });
  }

  it("goes out as it came, with its length", async () => {
    const { url } = await start();
    const answer = await fetch(`${url}/`, { method: "POST", body: "hello" });
    assert.equal(answer.status, 200);
    assert.deepEqual([heard[0]?.body, heard[0]?.headers["content-length"]], ["hello", "5"]);
  });

  for (const [what, path, fields, first] of [
    ["in chunks", "/", ["Transfer-Encoding: chunked"], "1\r\na\r\n"],
    ["of gRPC", "/", ["Content-Type: application/grpc+proto", "Content-Length: 5"], "a"],
    ["on a route that buffers none", "/streams", ["Content-Length: 5"], "a"],
    ["larger than what its route buffers", "/few", ["Content-Length: 20"], "a".repeat(11)],
    ["behind Expect", "/", ["Expect: 100-continue", "Content-Length: 5"], ""],
  ] as const) {
    it(`${what} streams`, async () => {
      const { port } = await start();
      const client = await connectRaw(port);
      client.send(post(path, [...fields], first));
      await eventually("the service hears of it", () => heard.length === 1, 4_000);
      client.socket.destroy();
    });
  }

  it("is not waited for longer than a client may be silent", async () => {
    const { port } = await start({ OUTRIGGER_CLIENT_STALL_MS: "200" });
    const client = await connectRaw(port);
    client.send(post("/", ["Content-Length: 5"], "a"));
    assert.match(await client.rest(), /^HTTP\/1\.1 408 /);
    client.end();
    assert.deepEqual(heard, []);
  });

  it("streams when there is no memory for it", async () => {
    const { port } = await start({ OUTRIGGER_BUFFER_BYTES: "0" });
    const client = await connectRaw(port);
    client.send(post("/", ["Content-Length: 5"], "a"));
    await eventually("the service hears of it", () => heard.length === 1, 4_000);
    client.send("bcde");
    await client.until("done");
    client.end();
  });

  it("whose client leaves is asked of nobody", async () => {
    const { port } = await start();
    const client = await connectRaw(port);
    client.send(post("/", ["Content-Length: 5"], "a"));
    client.socket.destroy();
    const line = await (sidecar as TestSidecar).line((each) => each["msg"] === "request");
    assert.notEqual(line["status"], 200);
    assert.deepEqual(heard, []);
  });
});

describe("one client address", () => {
  it("gets no more than its share of connections", async () => {
    const { port } = await start({ OUTRIGGER_MAX_CONNECTIONS: "10" });
    const open = await Promise.all(Array.from({ length: 8 }, () => connectRaw(port)));
    const ninth = await connectRaw(port);
    await ninth.ended;
    ninth.end();
    const other = await connectFrom("127.0.0.2", port);
    other.send(requestText("GET", "/"));
    await other.until("done");
    other.socket.destroy();
    open[0]?.socket.destroy();
    await eventually("its place is free", async () => {
      const next = await connectRaw(port);
      next.send(requestText("GET", "/"));
      const answer = await next.until("done").catch(() => "");
      next.socket.destroy();
      return answer !== "";
    });
    for (const each of open) each.socket.destroy();
  });

  it("that is a trusted proxy's has no share of connections", async () => {
    const { port } = await start({
      OUTRIGGER_MAX_CONNECTIONS: "10",
      OUTRIGGER_TRUSTED_PROXIES: "127.0.0.0/8",
    });
    const open = await Promise.all(Array.from({ length: 10 }, () => connectRaw(port)));
    open[9]?.send(requestText("GET", "/"));
    await open[9]?.until("done");
    for (const each of open) each.socket.destroy();
  });

  it("gets no more than its share of connections to the service", async () => {
    const { port } = await start({ OUTRIGGER_UPSTREAM_CONNECTIONS: "5" });
    const chunked = post("/slow", ["Transfer-Encoding: chunked"], "1\r\na\r\n");
    const slow = await Promise.all(Array.from({ length: 12 }, () => connectRaw(port)));
    for (const client of slow) client.send(chunked);
    await eventually("its share", () => heard.length === 4);
    const other = await connectFrom("127.0.0.2", port);
    other.send(requestText("GET", "/other"));
    await other.until("done");
    assert.deepEqual(
      heard.map(({ path }) => path),
      ["/slow", "/slow", "/slow", "/slow", "/other"],
    );
    // As its own ones end, the next come.
    for (const client of slow) client.send("0\r\n\r\n");
    for (const client of slow) await client.until("done");
    for (const client of [...slow, other]) client.socket.destroy();
  });
});
