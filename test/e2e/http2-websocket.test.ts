// WebSockets from clients that speak HTTP/2 (RFC 8441), through the same chain and to the same services as those of HTTP/1.1.
import assert from "node:assert/strict";
import { once } from "node:events";
import type http from "node:http";
import http2 from "node:http2";
import net, { type AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { after, before, describe, test } from "node:test";
import { WebSocketServer } from "ws";
import { registry } from "../../plugins/index.ts";
import { GatewayError } from "../../src/plugin-api/contract.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";
import { FrameClient, frameTypes, requestHead } from "../support/http2-frames.ts";
import { Http2WebSocket } from "../support/http2-websocket.ts";
import { pluginWith } from "../support/plugins.ts";
import { eventually } from "../support/redis.ts";

const connect = requestHead("/echo", ":protocol", "websocket");
connect[1] = "CONNECT";

describe("a WebSocket over HTTP/2", () => {
  let sidecar: TestSidecar;
  let server: WebSocketServer;
  let session: http2.ClientHttp2Session;
  const closeCodes: number[] = [];
  before(async () => {
    const guard = pluginWith("guard", {
      onRequest: ({ request }) => {
        if (request.path === "/denied") {
          return { action: "reject", error: new GatewayError("forbidden", "Not here.") };
        }
        return request.path === "/page" ? { action: "respond", status: 200, body: "page" } : undefined;
      },
    });
    sidecar = await startSidecar({
      policy: { plugins: ["logging", "transform", "guard"] },
      registry: [...registry.filter(({ name }) => name === "logging" || name === "transform"), guard],
      upstream: (_request, response) => response.end("plain"),
    });
    server = new WebSocketServer({ noServer: true, handleProtocols: () => "chat" });
    sidecar.service?.on("upgrade", (request: http.IncomingMessage, socket: Duplex, head: Buffer) => {
      if (request.url === "/426") {
        socket.end("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 6\r\n\r\nnewer!");
        return;
      }
      server.handleUpgrade(request, socket, head, (client) => {
        client.on("message", (data, isBinary) => client.send(data, { binary: isBinary }));
        client.on("close", (code) => closeCodes.push(code));
        if (request.url === "/head") client.send(JSON.stringify(request.headers));
        if (request.url === "/bye") client.close(4000);
      });
    });
    session = http2.connect(sidecar.url);
  });
  after(async () => {
    session.destroy();
    await sidecar.stop();
  });

  test("echoes, beside requests and other WebSockets on its connection, until its client closes it", async () => {
    const [one, two] = await Promise.all([
      Http2WebSocket.open(session, "/echo"),
      Http2WebSocket.open(session, "/echo"),
    ]);
    assert.deepEqual([one.status, two.status], [200, 200]);
    for (const text of ["hello", "again", "x".repeat(100)]) one.send(text);
    two.send("other");
    assert.deepEqual(await one.heard(3), ["hello", "again", "x".repeat(100)]);
    assert.deepEqual(await two.heard(1), ["other"]);
    one.close(1000);
    assert.equal(await one.over(), 0);
    assert.equal(one.closeCode, 1000);
    await eventually("the service hears of it", () => closeCodes.includes(1000));
    two.stream.close(http2.constants.NGHTTP2_CANCEL);
    await eventually("the service hears of a reset, too", () => closeCodes.includes(1006));
    const line = await sidecar.line(({ path, end }) => path === "/echo" && end === "complete");
    assert.deepEqual([line["status"], line["method"]], [101, "GET"]);
    await sidecar.line(({ path, closeCode }) => path === "/echo" && closeCode === 1006);
    const closings = new Set<unknown>();
    for (const { path, closeCode, closedBy } of sidecar.lines)
      if (path === "/echo") closings.add(`${String(closeCode)} ${String(closedBy)}`);
    assert.deepEqual(closings, new Set(["1000 client", "1006 undefined"]));
  });

  test("is a handshake of HTTP/1.1 to plugins and service, and an answer of HTTP/2 to its client", async () => {
    const socket = await Http2WebSocket.open(session, "/head", {
      "x-user-id": "forged",
      "sec-websocket-protocol": "chat",
      "sec-websocket-key": "bWluZSBpcyBub3QgdXNlZA==",
    });
    const sent = JSON.parse((await socket.heard(1))[0] ?? "") as Record<string, string>;
    assert.equal(sent["x-user-id"], undefined);
    assert.equal(sent["x-forwarded-for"], "127.0.0.1");
    assert.equal(sent["upgrade"], "websocket");
    assert.notEqual(sent["sec-websocket-key"], "bWluZSBpcyBub3QgdXNlZA==");
    assert.equal(socket.headers["sec-websocket-protocol"], "chat");
    assert.equal(socket.headers["x-request-id"], sent["x-request-id"]);
    for (const name of ["upgrade", "connection", "sec-websocket-accept"])
      assert.equal(socket.headers[name], undefined);
    socket.close(1000);
    assert.equal(await socket.over(), 0);
  });

  test("that the service closes is closed in order, with its code", async () => {
    const socket = await Http2WebSocket.open(session, "/bye");
    await eventually("it is told", () => socket.closeCode === 4000);
    socket.close(4000);
    assert.equal(await socket.over(), 0);
  });

  test("is refused by the chain like any request", async () => {
    const socket = await Http2WebSocket.open(session, "/denied");
    assert.equal(socket.status, 403);
    await eventually("the answer is whole", () => socket.ended);
    assert.match(socket.body, /Not here/);
  });

  test("that a plugin or the service answers otherwise is not taken for open", async () => {
    const page = await Http2WebSocket.open(session, "/page");
    await eventually("the answer is whole", () => page.ended);
    assert.deepEqual([page.status, page.body], [502, "page"]);
    const newer = await Http2WebSocket.open(session, "/426");
    await eventually("the answer is whole", () => newer.ended);
    assert.deepEqual([newer.status, newer.body], [426, "newer!"]);
  });

  test("is refused for any other :protocol, and says so", async () => {
    const udp = await Http2WebSocket.open(session, "/", { ":protocol": "connect-udp" });
    await eventually("the answer is whole", () => udp.ended);
    assert.equal(udp.status, 501);
    assert.match(udp.body, /only websocket/);
  });

  for (const [what, head] of [
    ["no :protocol", [":method", "CONNECT", ":authority", "a.test:443"]],
    ["no :path", connect.filter((_, i) => i < 6 || i > 7)],
    ["a body that is announced", [...connect, "content-length", "5"]],
    ["a method beside :protocol", [":method", "GET", ...connect.slice(2)]],
  ] as const) {
    test(`is refused with ${what}`, async () => {
      await using client = await FrameClient.open(sidecar.port);
      client.request(1, head);
      const told = await client.frame(({ stream, type }) => stream === 1 && type !== frameTypes.windowUpdate);
      // `:status 400`: index 12 of the static table.
      assert.ok(told === undefined || told.type === frameTypes.rst || told.payload[0] === 0x8c);
    });
  }
});

test("a service that switches without proof is a 502, and so is one that switches to something else", async () => {
  const answers = ["Upgrade: websocket\r\nSec-WebSocket-Accept: AAAA", "Upgrade: mine/1"];
  const service = net.createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () =>
      socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n${answers.shift()}\r\n\r\n`),
    );
  });
  service.listen(0, "127.0.0.1");
  await once(service, "listening");
  await using sidecar = await startSidecar({
    policy: { plugins: ["logging"] },
    upstream: `http://127.0.0.1:${(service.address() as AddressInfo).port}`,
  });
  const session = http2.connect(sidecar.url);
  for (const path of ["/one", "/two"]) {
    const socket = await Http2WebSocket.open(session, path);
    assert.equal(socket.status, 502);
    await socket.over();
  }
  session.destroy();
  service.close();
});

test("a drain tells both sides of a WebSocket over HTTP/2, with 1001, and a cut is a reset", async () => {
  let serviceCode = 0;
  const server = new WebSocketServer({ noServer: true });
  const sidecar = await startSidecar({
    policy: { plugins: ["logging"] },
    upstream: (_request, response) => void response.end(),
    env: { OUTRIGGER_DRAIN_MS: "500" },
  });
  sidecar.service?.on("upgrade", (request: http.IncomingMessage, socket: Duplex, head: Buffer) =>
    server.handleUpgrade(request, socket, head, (client) =>
      client.on("close", (code) => (serviceCode = code)),
    ),
  );
  const session = http2.connect(sidecar.url);
  session.on("error", () => {});
  const socket = await Http2WebSocket.open(session, "/");
  const stopped = sidecar.stop();
  await eventually("the client is told", () => socket.closeCode === 1001);
  await eventually("the service is told", () => serviceCode === 1001);
  socket.close(1001);
  assert.equal(await socket.over(), 0);
  await stopped;
});
