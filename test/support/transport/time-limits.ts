// Tests that every wait ends: for a connection, for the head, between chunks, for a service that stops reading. No
// limit fires early, and none counts a wait that the client causes.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { answer, type CreateTransport, openScene, type Scene } from "./scene.ts";

const LIMIT_MS = 150;
const host = ["Host", "service.test"];
const sized = [...host, "Content-Length", "5"];

/** @returns the error of the exchange, which must not come before its limit */
async function timedOut(
  exchange: ReturnType<Scene["ask"]>,
  startedAt: number,
  limitMs = LIMIT_MS,
): Promise<string | undefined> {
  const { error } = await exchange.result;
  const tookMs = performance.now() - startedAt;
  assert.ok(tookMs >= limitMs, `after ${tookMs} ms`);
  assert.ok(tookMs < limitMs + 2000, `after ${tookMs} ms`);
  return error?.code;
}

export function describeTimeLimits(create: CreateTransport): void {
  describe("a time limit", () => {
    test("ends the wait for a connection that is not completed", async () => {
      // A service that never answers the TLS handshake.
      await using scene = await openScene(
        (target, options) => create({ ...target, tls: true }, options),
        () => {},
      );
      const startedAt = performance.now();
      const exchange = scene.ask({ connectTimeoutMs: LIMIT_MS });
      assert.equal(await timedOut(exchange, startedAt), "upstream_connect_timeout");
      await (
        await scene.server.peer(0)
      ).ended;
    });

    test("ends the wait for the head", async () => {
      await using scene = await openScene(create, async (peer) => {
        await peer.head();
      });
      const startedAt = performance.now();
      assert.equal(await timedOut(scene.ask({ timeoutMs: LIMIT_MS }), startedAt), "upstream_timeout");
      await (
        await scene.server.peer(0)
      ).ended;
    });

    test("for the head is not renewed by interim responses or single bytes of it", async () => {
      await using scene = await openScene(create, async (peer) => {
        await peer.head();
        while (!peer.socket.readableEnded && !peer.socket.destroyed) {
          peer.send("HTTP/1.1 102 Processing\r\n");
          await new Promise((resolve) => setTimeout(resolve, 40));
          peer.send("\r\n");
        }
      });
      const startedAt = performance.now();
      assert.equal(await timedOut(scene.ask({ timeoutMs: LIMIT_MS }), startedAt), "upstream_timeout");
    });

    test("ends a gap between chunks, and is renewed by each chunk", async () => {
      await using scene = await openScene(create, async (peer) => {
        await peer.head();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
        for (let i = 0; i < 4; i += 1) {
          peer.send("a");
          await new Promise((resolve) => setTimeout(resolve, LIMIT_MS / 2));
        }
      });
      const startedAt = performance.now();
      const exchange = scene.ask({ timeoutMs: LIMIT_MS });
      await exchange.headed;
      assert.equal(await timedOut(exchange, startedAt, LIMIT_MS * 2.4), "upstream_timeout");
      assert.equal((await exchange.result).body, "aaaa");
    });

    test("does not run while the receiver waits", async () => {
      await using scene = await openScene(create, async (peer) => {
        await peer.head();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na");
      });
      const exchange = scene.ask({ timeoutMs: LIMIT_MS }, { onData: () => false });
      await exchange.headed;
      await new Promise((resolve) => setTimeout(resolve, LIMIT_MS * 3));
      assert.deepEqual(exchange.calls, ["head", "data"]);
      const startedAt = performance.now();
      exchange.resume();
      assert.equal(await timedOut(exchange, startedAt), "upstream_timeout");
    });

    test("does not run while the client sends slowly", async () => {
      await using scene = await openScene(create, async (peer) => {
        await peer.head();
        await peer.bytes(5);
        peer.send(answer("x"));
      });
      const exchange = scene.ask({ method: "POST", fields: sized, body: "stream", timeoutMs: LIMIT_MS });
      for (const part of ["hel", "lo"]) {
        exchange.call.write(Buffer.from(part));
        await new Promise((resolve) => setTimeout(resolve, LIMIT_MS * 2));
      }
      exchange.call.end();
      assert.equal((await exchange.result).body, "x");
    });

    test("ends the wait for a service that stops reading", async () => {
      await using scene = await openScene(create, (peer) => void peer.socket.pause());
      const fields = [...host, "Content-Length", "100000000"];
      const exchange = scene.ask({ method: "PUT", fields, body: "stream", timeoutMs: LIMIT_MS });
      const piece = Buffer.alloc(1_000_000);
      let sent = 0;
      const sending = (async () => {
        for (; sent < 100; sent += 1) if (!exchange.call.write(piece)) await exchange.drained();
      })();
      assert.equal((await exchange.result).error?.code, "upstream_timeout");
      assert.ok(sent < 100);
      void sending;
      (await scene.server.peer(0)).socket.resume();
    });

    test("ends the wait for a service that stops reading a body from memory", async () => {
      await using scene = await openScene(create, (peer) => void peer.socket.pause());
      const body = Buffer.alloc(50_000_000);
      const fields = [...host, "Content-Length", String(body.length)];
      const startedAt = performance.now();
      const exchange = scene.ask({ method: "PUT", fields, body, timeoutMs: LIMIT_MS });
      assert.equal(await timedOut(exchange, startedAt), "upstream_timeout");
      (await scene.server.peer(0)).socket.resume();
    });

    test("ends the wait for 100 Continue of a service that says nothing", async () => {
      await using scene = await openScene(create, async (peer) => {
        await peer.head();
      });
      const fields = [...sized, "Expect", "100-continue"];
      const startedAt = performance.now();
      const exchange = scene.ask({ method: "POST", fields, body: "stream", timeoutMs: LIMIT_MS });
      assert.equal(await timedOut(exchange, startedAt), "upstream_timeout");
    });
  });
}
