// Upgrades with hostile clients, faulty plugins and services that die at the wrong moment.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { Hooks, Outcome } from "../../src/plugin-api/contract.ts";
import { readsInTurn } from "../support/listener.ts";
import { pluginWith } from "../support/plugins.ts";
import { eventually } from "../support/redis.ts";
import { connectRaw, requestText, startRawService, type RawService } from "../support/raw-http.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

const handshake = ["Connection: Upgrade", "Upgrade: mine/1"];
const accepted = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: mine/1\r\n\r\n";

describe("an upgrade", () => {
  let hooks: Hooks = {};
  let outcomes: Outcome[] = [];
  let service: RawService;
  let sidecar: TestSidecar;
  beforeEach(async () => {
    hooks = {};
    outcomes = [];
    service = await startRawService();
    const plugin = pluginWith("under-test", {
      onRequest: (exchange) => hooks.onRequest?.(exchange),
      onResponse: (exchange, response) => hooks.onResponse?.(exchange, response),
      onComplete: (_exchange, outcome) => void outcomes.push(outcome),
    });
    sidecar = await startSidecar({
      policy: { plugins: ["under-test"], routes: [{ path: "/*", timeout: 1_000 }] },
      registry: [plugin],
      upstream: service.url,
    });
  });
  afterEach(async () => {
    service.close();
    await sidecar.stop();
  });
  const upgrade = async () => {
    const client = await connectRaw(sidecar.port);
    client.send(requestText("GET", "/", handshake));
    const upstream = await service.next();
    await upstream.until((text) => text.includes("\r\n\r\n"));
    return { client, upstream };
  };
  /** A response hook that waits for the test. */
  const heldResponse = () => {
    const held = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<void>();
    hooks = {
      onResponse: () => {
        reached.resolve();
        return held.promise;
      },
    };
    return { release: held.resolve, reached: reached.promise };
  };

  it("that is declined has its answer read, whatever its client sent behind it", async () => {
    const body = "x".repeat(300_000);
    const client = connect(sidecar.port, "127.0.0.1");
    let received = "";
    // It reads late: a reset would take what has come from it.
    client.pause();
    client.on("data", (chunk: Buffer) => (received += chunk.toString("latin1"))).on("error", () => {});
    client.write(requestText("GET", "/", handshake) + "y".repeat(400_000));
    const upstream = await service.next();
    await upstream.until((text) => text.includes("\r\n\r\n"));
    upstream.send(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    await eventually("it is answered", () => outcomes.length === 1);
    await delay(100);
    client.resume();
    await once(client, "close");
    assert.ok(received.endsWith(body), `${received.length} bytes`);
  });

  for (const fields of ["", "Connection: Upgrade\r\n", "Content-Length: 2\r\n"]) {
    it(`that the service accepts without a protocol (${fields.trim()}) is 502`, async () => {
      const { client, upstream } = await upgrade();
      upstream.send(`HTTP/1.1 101 Switching Protocols\r\n${fields}\r\n`);
      assert.equal((await client.answer()).status, 502);
      assert.equal(outcomes[0]?.error?.code, "upstream_invalid_response");
      await upstream.closed;
    });
  }

  it("has no length in its 101, whatever the service and plugins say", async () => {
    hooks = { onResponse: (_exchange, { fields }) => fields.set("Transfer-Encoding", "chunked") };
    const { client, upstream } = await upgrade();
    upstream.send(`${accepted.trim()}\r\nContent-Length: 2\r\n\r\nhello`);
    const head = (await client.until((text) => text.endsWith("\r\n\r\nhello"))).toLowerCase();
    assert.match(head, /^http\/1\.1 101 .*\r\nupgrade: mine\/1\r\n/s);
    assert.doesNotMatch(head, /content-length|transfer-encoding/);
    client.end();
  });

  it("behind a request in flight waits for its turn and is served plainly", async () => {
    const client = await connectRaw(sidecar.port);
    client.send(requestText("GET", "/first") + requestText("GET", "/second", handshake));
    const first = await service.next();
    await first.until((text) => text.includes("\r\n\r\n"));
    first.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nfirst");
    assert.equal((await client.answer()).body, "first");
    const second = await service.next();
    assert.doesNotMatch(await second.until((text) => text.includes("\r\n\r\n")), /upgrade/i);
    second.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsecond");
    assert.equal((await client.answer()).body, "second");
    client.end();
  });

  it("CONNECT behind a request in flight is not answered in its place", async () => {
    const client = await connectRaw(sidecar.port);
    client.send(requestText("GET", "/first"));
    const upstream = await service.next();
    await upstream.until((text) => text.includes("\r\n\r\n"));
    client.send(requestText("CONNECT", "a:80"));
    if (readsInTurn) {
      upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst");
      assert.equal((await client.answer()).body, "first");
      assert.equal((await client.answer()).status, 400);
      return;
    }
    const { rest } = await client.closed;
    assert.equal(rest, "");
    await upstream.closed;
  });

  it("of an HTTP/1.0 request is none", async () => {
    const client = await connectRaw(sidecar.port);
    client.send(requestText("GET", "/", handshake).replace("HTTP/1.1", "HTTP/1.0"));
    const upstream = await service.next();
    assert.doesNotMatch(await upstream.until((text) => text.includes("\r\n\r\n")), /upgrade/i);
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    assert.equal((await client.answer()).body, "ok");
  });

  it("whose service breaks off while a response hook is at work is a 502", async () => {
    const { client, upstream } = await upgrade();
    const { release, reached } = heldResponse();
    upstream.send(accepted);
    await reached;
    upstream.socket.resetAndDestroy();
    const answer = client.answer();
    hooks = {};
    assert.equal((await answer).status, 502);
    release();
    await client.closed;
    assert.equal(outcomes.length, 1);
  });

  it("whose client leaves while a response hook is at work closes the service's side", async () => {
    const { client, upstream } = await upgrade();
    const { release, reached } = heldResponse();
    upstream.send(accepted);
    await reached;
    client.socket.destroy();
    await upstream.closed;
    release();
  });

  for (const [what, onResponse] of [
    [
      "fails",
      () => {
        throw new Error("a bug");
      },
    ],
    ["rejects", () => Promise.reject(new Error("a bug"))],
  ] as const) {
    it(`whose response hook ${what} is a 503, and the service's side is closed`, async () => {
      const { client, upstream } = await upgrade();
      hooks = { onResponse };
      upstream.send(accepted);
      assert.equal((await client.answer()).status, 503);
      await upstream.closed;
      await client.closed;
      assert.equal(outcomes.length, 1);
    });
  }

  it("that a plugin turns into another status ends there, without a body to wait for", async () => {
    const { client, upstream } = await upgrade();
    hooks = { onResponse: (_exchange, response) => void (response.status = 200) };
    upstream.send(accepted);
    const answer = await client.answer();
    assert.equal(answer.status, 200);
    assert.equal(answer.body, "");
    await upstream.closed;
    await client.closed;
  });

  it("with a line end in a field that a plugin adds never reaches the service", async () => {
    hooks = { onRequest: ({ request }) => request.fields.set("X-A", "1\r\nX-B: 2") };
    const before = service.connections.length;
    const client = await connectRaw(sidecar.port);
    client.send(requestText("GET", "/", handshake));
    const { status } = await client.answer();
    assert.ok(status === 400 || status === 500, String(status));
    assert.equal(service.connections.length, before);
    await client.closed;
    assert.equal(outcomes.length, 1);
  });

  it("with a line end in a field that a plugin adds to the 101 does not reach the client", async () => {
    const { client, upstream } = await upgrade();
    hooks = { onResponse: (_exchange, { fields }) => fields.set("X-A", "1\r\nX-B: 2") };
    upstream.send(accepted);
    const answer = await client.answer();
    assert.equal(answer.status, 500);
    assert.equal(answer.field("x-b"), undefined);
    await upstream.closed;
    await client.closed;
  });

  it("has an empty body to read", async () => {
    let read: Buffer | undefined;
    hooks = { onRequest: async (exchange) => void (read = await exchange.readBody(10)) };
    const { client, upstream } = await upgrade();
    assert.equal(read?.length, 0);
    upstream.send(accepted);
    await client.until((text) => text.includes("\r\n\r\n"));
    client.end();
    await upstream.closed;
  });

  it("in the drain is cut off at the limit, whatever stage it is in", async () => {
    const own = await startSidecar({
      policy: { plugins: ["under-test"] },
      registry: [pluginWith("under-test", { onResponse: () => new Promise<never>(() => {}) })],
      upstream: service.url,
      env: { OUTRIGGER_DRAIN_MS: "50" },
    });
    const waiting = await connectRaw(own.port);
    waiting.send(requestText("GET", "/", handshake));
    await (await service.next()).until((text) => text.includes("\r\n\r\n"));
    const hooked = await connectRaw(own.port);
    hooked.send(requestText("GET", "/", handshake));
    const upstream = await service.next();
    await upstream.until((text) => text.includes("\r\n\r\n"));
    upstream.send(accepted);
    await own.stop();
    await waiting.closed;
    await hooked.closed;
    if (!upstream.socket.destroyed) await once(upstream.socket, "close");
  });
});
