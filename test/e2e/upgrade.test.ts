// Upgrades: WebSocket and any other protocol, through the same chain as every request.
import assert from "node:assert/strict";
import { once } from "node:events";
import type http from "node:http";
import type { Duplex } from "node:stream";
import { after, before, describe, it } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import { GatewayError } from "../../src/plugin-api/contract.ts";
import { pluginWith } from "../support/plugins.ts";
import { connectRaw, requestText, startRawService, type RawService } from "../support/raw-http.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";
import { registry } from "../../plugins/index.ts";

const handshake = [
  "Connection: Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
  "Sec-WebSocket-Version: 13",
];

describe("a WebSocket through the sidecar", () => {
  let sidecar: TestSidecar;
  let server: WebSocketServer;
  before(async () => {
    const guard = pluginWith("guard", {
      onRequest: (exchange) =>
        exchange.request.path === "/denied"
          ? { action: "reject", error: new GatewayError("forbidden", "Not here.") }
          : undefined,
    });
    sidecar = await startSidecar({
      policy: { plugins: ["logging", "transform", "guard"] },
      registry: [...registry.filter(({ name }) => name === "logging" || name === "transform"), guard],
      upstream: (_request, response) => response.end("plain"),
    });
    server = new WebSocketServer({ noServer: true });
    sidecar.service?.on("upgrade", (request: http.IncomingMessage, socket: Duplex, head: Buffer) =>
      server.handleUpgrade(request, socket, head, (client) => {
        client.on("message", (data, isBinary) => client.send(data, { binary: isBinary }));
        if (request.url === "/header") client.send(JSON.stringify(request.headers));
      }),
    );
  });
  after(() => sidecar.stop());
  const open = async (path: string): Promise<WebSocket> => {
    const socket = new WebSocket(`ws://127.0.0.1:${sidecar.port}${path}`);
    await once(socket, "open");
    return socket;
  };

  it("echoes text and a mebibyte of bytes", async () => {
    const socket = await open("/echo");
    socket.send("hello");
    assert.equal(String((await once(socket, "message"))[0]), "hello");
    const large = Buffer.alloc(1024 * 1024, 7);
    socket.send(large);
    assert.deepEqual((await once(socket, "message"))[0], large);
    socket.close(4001, "said to nobody but the service");
    await once(socket, "close");
    const line = await sidecar.line(({ path }) => path === "/echo");
    // A hello of 11 bytes (5, head and mask), a mebibyte (head of 14), a close of 38.
    assert.deepEqual(
      [line["requestMessages"], line["requestBytes"], line["closeCode"], line["closedBy"]],
      [3, 11 + 1_048_590 + 38, 4001, "client"],
    );
    assert.doesNotMatch(JSON.stringify(sidecar.lines), /said to nobody/);
  });

  it("carries the sidecar's fields to the service, and its own into the 101", async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${sidecar.port}/header`, {
      headers: { "x-user-id": "forged" },
    });
    const message = once(socket, "message");
    const [response] = (await once(socket, "upgrade")) as [http.IncomingMessage];
    assert.ok(response.headers["x-request-id"]);
    const headers = JSON.parse(String((await message)[0])) as Record<string, string>;
    assert.equal(headers["x-user-id"], undefined);
    assert.equal(headers["x-forwarded-for"], "127.0.0.1");
    assert.equal(headers["x-request-id"], response.headers["x-request-id"]);
    socket.close();
    await once(socket, "close");
  });

  it("is refused by the chain like any request", async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${sidecar.port}/denied`);
    const [, response] = (await once(socket, "unexpected-response")) as [unknown, http.IncomingMessage];
    assert.equal(response.statusCode, 403);
    socket.on("error", () => {});
    response.destroy();
  });

  it("has one line when it is over", async () => {
    const socket = await open("/logged");
    socket.close();
    const line = await sidecar.line((entry) => entry["path"] === "/logged");
    assert.equal(line["status"], 101);
    assert.equal(line["end"], "complete");
  });
});

describe("an upgrade, byte by byte", () => {
  let service: RawService;
  let sidecar: TestSidecar;
  before(async () => {
    service = await startRawService();
    sidecar = await startSidecar({
      policy: { plugins: ["logging"], routes: [{ path: "/*", timeout: 200 }] },
      upstream: service.url,
      env: { OUTRIGGER_UPSTREAM_CONNECT_TIMEOUT_MS: "200" },
    });
  });
  after(async () => {
    service.close();
    await sidecar.stop();
  });
  const upgrade = async (path: string, fields = handshake) => {
    const client = await connectRaw(sidecar.port);
    client.send(requestText("GET", path, fields));
    const upstream = await service.next();
    const head = await upstream.until((text) => text.includes("\r\n\r\n"));
    return { client, upstream, head };
  };

  it("any protocol goes through, with bytes that come right behind either head", async () => {
    const client = await connectRaw(sidecar.port);
    client.send(requestText("GET", "/any", ["Connection: upgrade", "Upgrade: Mine/1"], "early client bytes"));
    const upstream = await service.next();
    const head = await upstream.until((text) => text.includes("\r\n\r\n"));
    assert.match(head, /\r\nUpgrade: mine\/1\r\n/i);
    assert.match(head, /\r\nConnection: Upgrade\r\n/);
    upstream.send(
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: mine/1\r\n\r\nearly server bytes",
    );
    await client.until((text) => /^HTTP\/1\.1 101 .*early server bytes$/s.test(text));
    await upstream.until((text) => text.endsWith("early client bytes"));
    client.end();
    await upstream.closed;
  });

  it("answered with something else than 101 is delivered as it is", async () => {
    const { client, upstream } = await upgrade("/no");
    upstream.send("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 6\r\nX-Mine: 1\r\n\r\nnewer!");
    const answer = await client.answer();
    assert.equal(answer.status, 426);
    assert.equal(answer.body, "newer!");
    assert.equal(answer.field("x-mine"), "1");
    await client.closed;
  });

  it("a client that leaves before the 101 closes the service's side too", async () => {
    const { client, upstream } = await upgrade("/left");
    client.socket.destroy();
    await upstream.closed;
    const line = await sidecar.line((entry) => entry["path"] === "/left");
    assert.equal(line["end"], "client-aborted");
  });

  it("a handshake that is not answered ends with a 504", async () => {
    const { client, upstream } = await upgrade("/slow");
    assert.equal((await client.answer()).status, 504);
    await upstream.closed;
  });

  it("a service that hangs up instead is a 502", async () => {
    const { client, upstream } = await upgrade("/gone");
    upstream.socket.destroy();
    assert.equal((await client.answer()).status, 502);
  });

  it("a reset of the service reaches the client as a reset", async () => {
    const { client, upstream } = await upgrade("/reset");
    upstream.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    await client.until((text) => text.includes("\r\n\r\n"));
    upstream.socket.resetAndDestroy();
    assert.equal((await client.closed).reset, true);
  });

  it("h2c is not switched to: it would carry requests past the policy", async () => {
    const { client, upstream, head } = await upgrade("/h2c", [
      "Connection: Upgrade, HTTP2-Settings",
      "Upgrade: h2c",
      "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
    ]);
    assert.doesNotMatch(head, /upgrade|http2-settings/i);
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert.equal((await client.answer()).status, 200);
    client.end();
  });

  it("an upgrade with a body is served as the plain request it also is", async () => {
    const client = await connectRaw(sidecar.port);
    client.send(requestText("POST", "/both", [...handshake, "Content-Length: 4"], "body"));
    const upstream = await service.next();
    const head = await upstream.until((text) => text.endsWith("body"));
    assert.doesNotMatch(head, /upgrade: /i);
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert.equal((await client.answer()).status, 200);
    client.end();
  });

  it("garbage in the handshake's answer is a 502", async () => {
    const { client, upstream } = await upgrade("/garbage");
    upstream.send("nonsense\r\n\r\n");
    assert.equal((await client.answer()).status, 502);
  });
});
