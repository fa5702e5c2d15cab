// Tests how a transport shares its connections between exchanges.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { RawPeer } from "../raw-peer.ts";
import { always, answer, type CreateTransport, openScene, turns } from "./scene.ts";

/** A service that answers each request only when the test says so. */
function onDemand(): { script: (peer: RawPeer) => Promise<void>; waiting: [string, () => void][] } {
  const waiting: [string, () => void][] = [];
  const script = async (peer: RawPeer): Promise<void> => {
    for (;;) {
      const path = (await peer.head()).split(" ")[1] as string;
      waiting.push([path, () => peer.send(answer(path))]);
    }
  };
  return { script, waiting };
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await turns(1);
}

export function describePool(create: CreateTransport): void {
  describe("a pool", () => {
    test("uses one connection for exchanges that follow each other", async () => {
      await using scene = await openScene(create, always(answer("x")));
      for (let i = 0; i < 5; i += 1) await scene.ask().result;
      assert.equal(scene.server.peers.length, 1);
      assert.deepEqual(scene.transport.counts(), { active: 0, idle: 1, queued: 0, upgraded: 0 });
    });

    test("prefers the connection used last", async () => {
      const { script, waiting } = onDemand();
      const used: RawPeer[] = [];
      await using scene = await openScene(create, (peer) => {
        peer.socket.on("data", () => used.push(peer));
        return script(peer);
      });
      const pair = [scene.ask({ target: "/1" }), scene.ask({ target: "/2" })];
      for (const [i, target] of ["/1", "/2"].entries()) {
        await until(() => waiting.some(([path]) => path === target));
        waiting.find(([path]) => path === target)?.[1]();
        await pair[i]?.result;
      }
      const last = used[waiting.findIndex(([path]) => path === "/2")];
      for (let i = 0; i < 3; i += 1) {
        const exchange = scene.ask();
        await until(() => waiting.length === 3 + i);
        waiting.at(-1)?.[1]();
        await exchange.result;
        assert.equal(used.at(-1), last);
      }
    });

    test("opens no more connections than it may, and serves those who wait in their order", async () => {
      const { script, waiting } = onDemand();
      await using scene = await openScene(create, script, { maxConnections: 2 });
      const done: string[] = [];
      const asked = ["/1", "/2", "/3", "/4", "/5"].map(async (target) => {
        const { body } = await scene.ask({ target }).result;
        done.push(body);
      });
      assert.deepEqual(scene.transport.counts(), { active: 2, idle: 0, queued: 3, upgraded: 0 });
      await until(() => waiting.length === 2);
      for (let i = 0; i < 5; i += 1) {
        await until(() => waiting.length > i);
        waiting[i]?.[1]();
        await until(() => done.length === i + 1);
      }
      await Promise.all(asked);
      assert.deepEqual(waiting.map(([path]) => path).slice(2), ["/3", "/4", "/5"]);
      assert.equal(scene.server.peers.length, 2);
    });

    test("refuses who would be one too many to wait", async () => {
      const { script, waiting } = onDemand();
      await using scene = await openScene(create, script, { maxConnections: 1, maxQueued: 1 });
      const first = scene.ask();
      const second = scene.ask();
      assert.equal((await scene.ask().result).error?.code, "overloaded");
      await until(() => waiting.length === 1);
      waiting[0]?.[1]();
      await until(() => waiting.length === 2);
      waiting[1]?.[1]();
      assert.deepEqual([(await first.result).status, (await second.result).status], [200, 200]);
    });

    test("lets nobody wait for longer than for a connection", async () => {
      const { script } = onDemand();
      await using scene = await openScene(create, script, { maxConnections: 1 });
      const first = scene.ask();
      const startedAt = performance.now();
      const { error } = await scene.ask({ connectTimeoutMs: 120 }).result;
      assert.ok(performance.now() - startedAt >= 120, "not early");
      assert.deepEqual([error?.code, error?.fields], ["overloaded", ["Retry-After", "1"]]);
      assert.deepEqual(scene.transport.counts(), { active: 1, idle: 0, queued: 0, upgraded: 0 });
      first.abort();
    });

    test("forgets who gives up while waiting", async () => {
      const { script, waiting } = onDemand();
      await using scene = await openScene(create, script, { maxConnections: 1 });
      const exchanges = ["/1", "/2", "/3", "/4"].map((target) => scene.ask({ target }));
      exchanges[1]?.abort();
      exchanges[3]?.abort();
      assert.equal(scene.transport.counts().queued, 1);
      for (const i of [0, 1]) {
        await until(() => waiting.length > i);
        waiting[i]?.[1]();
      }
      assert.equal((await exchanges[2]?.result)?.body, "/3");
      assert.deepEqual(
        waiting.map(([path]) => path),
        ["/1", "/3"],
      );
    });

    test("gives the place of a connection that ends to whoever waits", async () => {
      await using scene = await openScene(
        create,
        async (peer, index) => {
          await peer.head();
          if (index === 0) peer.reset();
          else peer.send(answer("x"));
        },
        { maxConnections: 1 },
      );
      const [first, second] = [scene.ask(), scene.ask()];
      assert.equal((await first.result).error?.code, "upstream_reset");
      assert.equal((await second.result).body, "x");
    });

    for (const [what, text] of [
      ["Connection: close", answer("x", "Connection: close\r\n")],
      ["Connection: close in a list", answer("x", "Connection: x-y,  Close\r\n")],
      ["HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx"],
      ["a Keep-Alive too short to trust", answer("x", "Keep-Alive: timeout=1\r\n")],
    ] as const) {
      test(`closes a connection after ${what}`, async () => {
        await using scene = await openScene(create, always(text));
        assert.equal((await scene.ask().result).body, "x");
        await (
          await scene.server.peer(0)
        ).ended;
        assert.equal((await scene.ask().result).body, "x");
        assert.equal(scene.server.peers.length, 2);
      });
    }

    test("keeps an HTTP/1.0 connection that asks for it", async () => {
      await using scene = await openScene(
        create,
        always("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx"),
      );
      await scene.ask().result;
      await scene.ask().result;
      assert.equal(scene.server.peers.length, 1);
    });

    test("closes an idle connection at its limit, not early", async () => {
      await using scene = await openScene(create, always(answer("x")), { idleTimeoutMs: 150 });
      await scene.ask().result;
      const idleAt = performance.now();
      await (
        await scene.server.peer(0)
      ).ended;
      assert.ok(performance.now() - idleAt >= 149);
      assert.deepEqual(scene.transport.counts(), { active: 0, idle: 0, queued: 0, upgraded: 0 });
    });

    test("closes an idle connection a second before the service would", async () => {
      await using scene = await openScene(create, always(answer("x", "Keep-Alive: timeout=2, max=100\r\n")));
      await scene.ask().result;
      const idleAt = performance.now();
      await (
        await scene.server.peer(0)
      ).ended;
      assert.ok(performance.now() - idleAt < 1900);
    });

    test("drops an idle connection that the service ends or breaks", async () => {
      await using scene = await openScene(create, always(answer("x")));
      for (const how of ["end", "reset"] as const) {
        await scene.ask().result;
        const peer = scene.server.peers.at(-1) as RawPeer;
        peer[how]();
        await until(() => scene.transport.counts().idle === 0);
      }
      assert.equal(scene.server.peers.length, 2);
    });

    test("that is closed lets go of idle connections at once and of the others after their exchange", async () => {
      const { script, waiting } = onDemand();
      await using scene = await openScene(create, script);
      const [first, second] = [scene.ask({ target: "/1" }), scene.ask({ target: "/2" })];
      await until(() => waiting.length === 2);
      waiting.find(([path]) => path === "/1")?.[1]();
      await first.result;
      scene.transport.close();
      assert.deepEqual(scene.transport.counts(), { active: 1, idle: 0, queued: 0, upgraded: 0 });
      waiting.find(([path]) => path === "/2")?.[1]();
      assert.equal((await second.result).body, "/2");
      assert.deepEqual(scene.transport.counts(), { active: 0, idle: 0, queued: 0, upgraded: 0 });
    });
  });

  test("a name is tried at all its addresses", async () => {
    await using scene = await openScene(
      (target, options) => create({ ...target, host: "localhost" }, options),
      always(answer("x")),
    );
    assert.equal((await scene.ask().result).body, "x");
    await scene.server.close();
    await until(() => scene.transport.counts().idle === 0);
    assert.equal((await scene.ask().result).error?.code, "upstream_refused");
  });

  describe("an upstream that is not there", () => {
    test("refuses: nobody listens on the port", async () => {
      const scene = await openScene(create, always(answer("x")));
      await scene.server.close();
      assert.equal((await scene.ask().result).error?.code, "upstream_refused");
      assert.deepEqual(scene.transport.counts(), { active: 0, idle: 0, queued: 0, upgraded: 0 });
    });

    test("fails everybody who waits for it", async () => {
      const scene = await openScene(create, always(answer("x")), { maxConnections: 1 });
      await scene.server.close();
      const results = await Promise.all([scene.ask().result, scene.ask().result, scene.ask().result]);
      for (const { error } of results) assert.equal(error?.code, "upstream_refused");
    });
  });

  test("a unix socket serves like a port, and is refused like one when it is gone", async () => {
    const folder = await mkdtemp(join(tmpdir(), "outrigger-transport-"));
    try {
      const place = { socketPath: join(folder, "service.sock") };
      await using scene = await openScene(create, always(answer("x")), {}, place);
      assert.equal((await scene.ask().result).body, "x");
      assert.equal((await scene.ask().result).body, "x");
      assert.equal(scene.server.peers.length, 1);
      await scene.server.close();
      await until(() => scene.transport.counts().idle === 0);
      assert.equal((await scene.ask().result).error?.code, "upstream_refused");
    } finally {
      await rm(folder, { recursive: true });
    }
  });
}
