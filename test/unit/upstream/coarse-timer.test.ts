import assert from "node:assert/strict";
import { createHook } from "node:async_hooks";
import { once } from "node:events";
import { describe, test } from "node:test";
import { Worker } from "node:worker_threads";
import { CoarseTimer, TICK_MS } from "../../../src/upstream/coarse-timer.ts";
import { createPooledTransport } from "../../../src/upstream/pooled-transport.ts";
import type { UpstreamTarget } from "../../../src/upstream/transport.ts";
import { RecordedExchange } from "../../support/recorded-exchange.ts";
import { always, answer, openScene } from "../../support/transport/scene.ts";

describe("the coarse timer", () => {
  test("tells the time every now and then, until it is stopped", async () => {
    const ticks: number[] = [];
    const startedAt = performance.now();
    await new Promise<void>((resolve) => {
      const timer = new CoarseTimer((now) => {
        ticks.push(now);
        if (ticks.length < 3) return;
        timer.stop();
        assert.equal(timer.running, false);
        // Two more ticks would have come in this time.
        setTimeout(resolve, 3 * TICK_MS);
      });
      timer.start();
      timer.start();
      assert.equal(timer.running, true);
    });
    assert.equal(ticks.length, 3);
    assert.ok((ticks[0] as number) - startedAt >= TICK_MS - 2);
  });

  test("is the only timer of a transport, and gone with the last connection", async () => {
    const timers = new Set<number>();
    const hook = createHook({
      init: (id, type) => void (type === "Timeout" && timers.add(id)),
      destroy: (id) => void timers.delete(id),
    });
    await using scene = await openScene(createPooledTransport, always(answer("x")));
    hook.enable();
    try {
      for (let i = 0; i < 20; i += 1) {
        await Promise.all(Array.from({ length: 20 }, () => scene.ask({ timeoutMs: 1000 }).result));
        assert.equal(timers.size, 1);
      }
      scene.transport.close();
      // The hook hears of a destroyed timer a turn later.
      await new Promise((resolve) => setImmediate(resolve));
      assert.equal(timers.size, 0);
    } finally {
      hook.disable();
    }
  });

  test("does not blame a service for time in which the process itself was held up", async () => {
    const service = new Worker(
      `const { parentPort } = require("node:worker_threads");
       const server = require("node:net").createServer((socket) => {
         socket.once("data", () => setTimeout(() => socket.write("HTTP/1.1 204 No Content\\r\\n\\r\\n"), 50));
       });
       server.listen(0, "127.0.0.1", () => parentPort.postMessage(server.address().port));`,
      { eval: true },
    );
    const [port] = (await once(service, "message")) as [number];
    const target: UpstreamTarget = {
      tls: false,
      host: "127.0.0.1",
      port,
      socketPath: undefined,
      name: "service",
    };
    const transport = createPooledTransport(target, { maxConnections: 1, maxQueued: 1, idleTimeoutMs: 4000 });
    try {
      const exchange = new RecordedExchange(transport, { timeoutMs: 100 });
      // Until the request is out.
      await new Promise((resolve) => setTimeout(resolve, 20));
      // From an immediate, the timers come next and what the service sent only after them.
      await new Promise((resolve) => setImmediate(resolve));
      const until = performance.now() + 400;
      while (performance.now() < until);
      const { status, error } = await exchange.result;
      assert.deepEqual([status, error], [204, undefined]);
    } finally {
      transport.close();
      await service.terminate();
    }
  });
});
