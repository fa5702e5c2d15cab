// Long-lived streams: limits on their duration, their silence and their message rate, who learns of their end, and what
// is counted.
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import type { Duplex } from "node:stream";
import { after, before, describe, test } from "node:test";
import {
  type ClientDuplexStream,
  Client,
  credentials,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type StatusObject,
  status,
} from "@grpc/grpc-js";
import { WebSocketServer } from "ws";
import { registry } from "../../plugins/index.ts";
import { GatewayError } from "../../src/plugin-api/contract.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";
import { Http2WebSocket } from "../support/http2-websocket.ts";
import { pluginWith } from "../support/plugins.ts";
import { eventually } from "../support/redis.ts";

const plain = (bytes: Buffer): Buffer => bytes;
const chat = {
  path: "/test.Echo/Chat",
  requestStream: true,
  responseStream: true,
  requestSerialize: plain,
  requestDeserialize: plain,
  responseSerialize: plain,
  responseDeserialize: plain,
};

const anyone = {
  userId: "u1",
  plan: undefined,
  scopes: [],
  roles: [],
  method: "jwt",
  credentialId: undefined,
  claims: {},
};

/** Lets everybody in, some for a moment only, and changes its mind about some. */
const guard = pluginWith("guard", {
  onRequest: (exchange) => {
    const expiresAt = exchange.request.path.startsWith("/expires") ? Date.now() + 200 : undefined;
    exchange.identity = { ...anyone, expiresAt };
  },
  recheck: ({ request }) =>
    request.path.startsWith("/denied")
      ? { action: "reject", error: new GatewayError("forbidden", "Not any more.") }
      : undefined,
});

const limits = {
  "/aged/*": { maxAgeMs: 200 },
  "/idle/*": { maxIdleMs: 150 },
  "/fast/*": { maxMessagesPerSecond: 5 },
};
const routes = ["/*", "/expires/*", "/denied/*", ...Object.keys(limits)].map((path) => ({
  path,
  ...(path !== "/*" && { stripPrefix: path.slice(0, -2) }),
  ...limits[path as keyof typeof limits],
}));
const policy = { plugins: ["logging", "guard"], routes };
const env = { OUTRIGGER_RECHECK_MS: "100" };

/** What reads the log and the metrics of a stream that was ended. */
async function logged(sidecar: TestSidecar, path: string): Promise<Record<string, unknown>> {
  return await sidecar.line((line) => line["path"] === path && line["msg"] === "request");
}

describe("a call of gRPC that lasts", () => {
  let server: Server;
  let sidecar: TestSidecar;
  let client: Client;
  before(async () => {
    server = new Server();
    server.addService(
      { Chat: chat },
      {
        Chat(call: ServerDuplexStream<Buffer, Buffer>) {
          call.on("data", (chunk: Buffer) => void call.write(chunk));
          call.on("end", () => call.end());
          call.on("error", () => {});
        },
      },
    );
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    sidecar = await startSidecar({
      policy,
      registry: [...registry, guard],
      upstream: `http://127.0.0.1:${port}`,
      env: { ...env, OUTRIGGER_UPSTREAM_PROTOCOL: "h2c", OUTRIGGER_DRAIN_MS: "400" },
    });
    client = new Client(`127.0.0.1:${sidecar.port}`, credentials.createInsecure());
  });
  after(async () => {
    client.close();
    await sidecar.stop();
    server.forceShutdown();
  });

  /** One that has had its first message echoed. */
  async function open(
    prefix: string,
  ): Promise<{ stream: ClientDuplexStream<Buffer, Buffer>; over: Promise<StatusObject> }> {
    const stream = client.makeBidiStreamRequest(`${prefix}${chat.path}`, plain, plain);
    const over = new Promise<StatusObject>((resolve) => stream.once("status", resolve));
    stream.on("error", () => {});
    stream.write(Buffer.from("first"));
    await once(stream, "data");
    return { stream, over };
  }

  for (const [prefix, code, because] of [
    ["/expires", status.UNAUTHENTICATED, /has ended/],
    ["/denied", status.PERMISSION_DENIED, /Not any more|not let in/],
    ["/aged", status.DEADLINE_EXCEEDED, /maxAgeMs/],
    ["/idle", status.DEADLINE_EXCEEDED, /maxIdleMs/],
  ] as const) {
    test(`is ended with a status: ${prefix}`, async () => {
      const { over } = await open(prefix);
      const told = await over;
      assert.equal(told.code, code);
      assert.notEqual(told.details, "");
      const line = await logged(sidecar, `${prefix}${chat.path}`);
      assert.deepEqual(
        [line["end"], line["grpcStatus"], line["requestMessages"], line["responseMessages"]],
        ["revoked", code, 1, 1],
      );
      assert.match(String(line["refusedBecause"]), because);
    });
  }

  test("that goes on is not idle, and its messages are in the metrics while it runs", async () => {
    const { stream, over } = await open("/idle");
    const runningSince = Date.now();
    while (Date.now() - runningSince < 400) {
      stream.write(Buffer.from("x".repeat(3_000)));
      await once(stream, "data");
    }
    const counted = /^outrigger_stream_messages_total\{.*route="\/idle\/\*".*direction="request"\} (\d+)$/m;
    assert.ok(Number(counted.exec(await sidecar.metrics())?.[1]) > 1);
    stream.end();
    stream.resume();
    assert.equal((await over).code, status.OK);
  });

  test("may bring so many messages a second, and no more", async () => {
    const { stream, over } = await open("/fast");
    for (let i = 0; i < 20; i += 1) stream.write(Buffer.from("x"));
    stream.resume();
    assert.equal((await over).code, status.RESOURCE_EXHAUSTED);
    const line = await logged(sidecar, `/fast${chat.path}`);
    assert.match(String(line["refusedBecause"]), /maxMessagesPerSecond/);
  });

  test("is told when the sidecar ends before it", async () => {
    const { over } = await open("");
    const stopped = sidecar.stop();
    assert.equal((await over).code, status.UNAVAILABLE);
    await stopped;
  });
});

describe("other streams that last", () => {
  let sidecar: TestSidecar;
  let session: http2.ClientHttp2Session;
  let closeCode = 0;
  before(async () => {
    sidecar = await startSidecar({
      policy,
      registry: [...registry, guard],
      upstream(_request, response) {
        response.writeHead(200, { "Content-Type": "text/event-stream" });
        response.write("data: 1\n\n");
      },
      env: { ...env, OUTRIGGER_DRAIN_MS: "20000" },
    });
    const sockets = new WebSocketServer({ noServer: true });
    sidecar.service?.on("upgrade", (request: http.IncomingMessage, socket: Duplex, head: Buffer) =>
      sockets.handleUpgrade(request, socket, head, (ws) => {
        ws.on("message", (data, isBinary) => ws.send(data, { binary: isBinary }));
        ws.on("close", (code) => (closeCode = code));
      }),
    );
    session = http2.connect(sidecar.url);
    session.on("error", () => {});
  });
  after(async () => {
    session.destroy();
    await sidecar.stop();
  });

  for (const prefix of ["/expires", "/denied", "/aged", "/idle", "/fast"]) {
    test(`a WebSocket over HTTP/2 is closed with 1008 on both sides: ${prefix}`, async () => {
      closeCode = 0;
      const socket = await Http2WebSocket.open(session, `${prefix}/ws`);
      socket.send("one");
      await socket.heard(1);
      if (prefix === "/fast") for (let i = 0; i < 10; i += 1) socket.send("more");
      await eventually("the client is told", () => socket.closeCode === 1008);
      await eventually("the service is told", () => closeCode === 1008);
      socket.close(1008);
      assert.equal(await socket.over(), 0);
      const line = await logged(sidecar, `${prefix}/ws`);
      assert.deepEqual([line["end"], line["closeCode"], line["closedBy"]], ["revoked", 1008, "sidecar"]);
      assert.ok(Number(line["requestMessages"]) >= 1 && Number(line["responseMessages"]) >= 1);
    });
  }

  for (const version of ["HTTP/1.1", "HTTP/2"]) {
    const listen = async (path: string): Promise<{ text: () => string; ended: Promise<unknown> }> => {
      let body: NodeJS.ReadableStream;
      if (version === "HTTP/2") body = session.request({ ":path": path });
      else {
        const [response] = (await once(http.get(`${sidecar.url}${path}`), "response")) as [
          http.IncomingMessage,
        ];
        body = response;
      }
      let text = "";
      body.on("data", (chunk: Buffer) => (text += chunk.toString()));
      // A reset is an error, or an end that was aborted.
      const ended = new Promise((resolve, reject) =>
        body
          .once("end", resolve)
          .once("error", reject)
          .once("aborted", () => reject(new Error("aborted"))),
      );
      await eventually("the first event is there", () => text !== "");
      return { text: () => text, ended };
    };

    test(`a stream of events over ${version} ends in order`, async () => {
      const streams = await Promise.all(
        ["/expires/sse", "/denied/sse", "/aged/sse", "/idle/sse"].map((path) => listen(path)),
      );
      for (const { text, ended } of streams) {
        await ended;
        assert.equal(text(), "data: 1\n\n");
      }
    });
  }

  test("a drain ends streams of events first, and waits for none", async () => {
    const stream = session.request({ ":path": "/last" });
    stream.resume();
    await once(stream, "data");
    const ended = once(stream, "end");
    const beganMs = Date.now();
    await sidecar.stop();
    await ended;
    assert.equal(stream.aborted, false);
    assert.ok(Date.now() - beganMs < 8_000);
  });
});
