// Tests a kept connection that the service closes just when it is used again: where that is safe, nobody notices, and
// no request ever runs twice.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { UpstreamRequest } from "../../../src/upstream/transport.ts";
import type { RawPeer } from "../raw-peer.ts";
import { always, answer, type CreateTransport, openScene, turns } from "./scene.ts";

const host = ["Host", "service.test"];
const sized = [...host, "Content-Length", "5"];
const hello = Buffer.from("hello");
// With one connection only: a request that cannot be sent twice would otherwise avoid a connection that became idle
// just now.
const theOneThere = { maxConnections: 1 };

/** Answers the first request of the first connection, and ends that connection badly at its second request. */
function staleOnce(how: (peer: RawPeer) => void, heads: string[] = []) {
  return async (peer: RawPeer, index: number): Promise<void> => {
    for (let i = 0; ; i += 1) {
      const head = await peer.head();
      heads.push(head.slice(0, head.indexOf(" ")));
      if (index === 0 && i > 0) {
        how(peer);
        return;
      }
      if (head.includes("Content-Length: 5")) await peer.bytes(5);
      peer.send(answer(`connection ${index}`));
    }
  };
}

export function describeStaleConnections(create: CreateTransport): void {
  describe("a kept connection that turns out to be closed", () => {
    for (const how of ["end", "reset"] as const) {
      for (const [what, request] of [
        ["GET", {}],
        ["HEAD", { method: "HEAD" }],
        ["PUT with its body in memory", { method: "PUT", fields: sized, body: hello }],
        ["DELETE", { method: "DELETE" }],
      ] as const) {
        test(`by ${how} costs ${what} one silent retry`, async () => {
          const heads: string[] = [];
          await using scene = await openScene(
            create,
            staleOnce((peer) => peer[how](), heads),
          );
          await scene.ask().result;
          const exchange = scene.ask(request);
          const { status, error } = await exchange.result;
          assert.deepEqual([status, error, scene.server.peers.length], [200, undefined, 2]);
          const method: string = "method" in request ? request.method : "GET";
          assert.deepEqual(heads, ["GET", method, method]);
        });
      }

      for (const method of ["POST", "PATCH", "MYSTERY"]) {
        test(`by ${how} fails ${method}, which may have been acted on`, async () => {
          const heads: string[] = [];
          await using scene = await openScene(
            create,
            staleOnce((peer) => peer[how](), heads),
            theOneThere,
          );
          await scene.ask().result;
          const { error } = await scene.ask({ method, fields: sized, body: hello }).result;
          assert.equal(error?.code, "upstream_reset");
          assert.deepEqual(heads, ["GET", method]);
        });
      }
    }

    test("fails a streamed PUT of which something was sent already", async () => {
      const heads: string[] = [];
      await using scene = await openScene(
        create,
        staleOnce((peer) => peer.end(), heads),
        theOneThere,
      );
      await scene.ask().result;
      const exchange = scene.ask({ method: "PUT", fields: sized, body: "stream" });
      exchange.call.write(Buffer.from("hel"));
      assert.equal((await exchange.result).error?.code, "upstream_reset");
      assert.deepEqual(heads, ["GET", "PUT"]);
    });

    test("costs a streamed PUT of which nothing was sent one silent retry", async () => {
      await using scene = await openScene(
        create,
        staleOnce((peer) => peer.end()),
        theOneThere,
      );
      await scene.ask().result;
      const exchange = scene.ask({ method: "PUT", fields: sized, body: "stream" });
      await scene.server.peer(1);
      await exchange.stream(["hello"]);
      assert.equal((await exchange.result).body, "connection 1");
    });

    test("costs even POST one silent retry when nothing of it could be written", async () => {
      const heads: string[] = [];
      await using scene = await openScene(
        create,
        staleOnce(() => {}, heads),
        theOneThere,
      );
      await scene.ask().result;
      await turns();
      // The reset arrives before the request, but nobody has read it yet.
      scene.server.peers[0]?.reset();
      const { body } = await scene.ask({ method: "POST", fields: sized, body: hello }).result;
      assert.deepEqual([body, heads], ["connection 1", ["GET", "POST"]]);
    });

    test("costs a streamed POST one silent retry when it breaks before the head has left", async () => {
      await using scene = await openScene(
        create,
        async (peer, index) => {
          await peer.head();
          if (index === 0) {
            peer.send(answer("x"));
            peer.reset();
          } else {
            await peer.bytes(5);
            peer.send(answer("y"));
          }
        },
        { maxConnections: 1 },
      );
      const first = scene.ask();
      const second = scene.ask({ method: "POST", fields: sized, body: "stream" });
      assert.equal((await first.result).body, "x");
      await scene.server.peer(1);
      await second.stream(["hello"]);
      assert.equal((await second.result).body, "y");
    });

    test("is retried once only, and only there", async () => {
      await using scene = await openScene(create, async (peer, index) => {
        await peer.head();
        if (index === 0) {
          peer.send(answer("x"));
          await peer.head();
        }
        peer.end();
      });
      await scene.ask().result;
      assert.equal((await scene.ask().result).error?.code, "upstream_reset");
      assert.equal(scene.server.peers.length, 2);
      assert.equal((await scene.ask().result).error?.code, "upstream_reset");
      assert.equal(scene.server.peers.length, 3);
    });

    for (const part of ["H", "HTTP/1.1 103 Early Hints\r\n\r\n"]) {
      test(`is not retried once ${JSON.stringify(part)} of an answer has come`, async () => {
        await using scene = await openScene(
          create,
          staleOnce((peer) => peer.end(part)),
        );
        await scene.ask().result;
        assert.equal((await scene.ask().result).error?.code, "upstream_reset");
        assert.equal(scene.server.peers.length, 1);
      });
    }

    test("gives its place to the retry even when others wait", async () => {
      await using scene = await openScene(
        create,
        staleOnce((peer) => peer.end()),
        { maxConnections: 1 },
      );
      await scene.ask().result;
      const [first, second] = [scene.ask(), scene.ask()];
      assert.equal((await first.result).body, "connection 1");
      assert.equal((await second.result).body, "connection 1");
    });

    test("loses nothing when the exchange is given up during the retry", async () => {
      await using scene = await openScene(create, async (peer, index) => {
        await peer.head();
        if (index > 0) return;
        peer.send(answer("x"));
        await peer.head();
        peer.end();
      });
      await scene.ask().result;
      const exchange = scene.ask();
      const second = await scene.server.peer(1);
      exchange.abort();
      await second.ended;
      assert.deepEqual(scene.transport.counts(), { active: 0, idle: 0, queued: 0, upgraded: 0 });
    });
  });

  describe("a service that closes right behind each answer, and does not say so", () => {
    const closing = async (peer: RawPeer): Promise<void> => {
      const head = await peer.head();
      if (head.includes("Content-Length: 5")) await peer.bytes(5);
      peer.send(answer("x"));
      peer.end();
    };

    for (const maxConnections of [1, 4]) {
      test(`fails no POST of many at once, over ${maxConnections} connections`, async () => {
        await using scene = await openScene(create, closing, { maxConnections, maxQueued: 100 });
        const post = { method: "POST", fields: sized, body: hello } as const;
        const results = await Promise.all(Array.from({ length: 40 }, () => scene.ask(post).result));
        assert.deepEqual(new Set(results.map(({ error, body }) => error?.code ?? body)), new Set(["x"]));
      });
    }

    test("fails no POST, streamed or not, that comes as soon as the last is answered", async () => {
      await using scene = await openScene(create, closing);
      for (let i = 0; i < 40; i += 1) {
        const body = i % 2 === 0 ? hello : "stream";
        const exchange = scene.ask({ method: "POST", fields: sized, body });
        if (body === "stream") await exchange.stream(["hello"]);
        assert.equal((await exchange.result).body, "x", `request ${i}`);
      }
    });

    test("loses nothing when an exchange is given up before it is sent", async () => {
      await using scene = await openScene(create, always(answer("x")), { maxConnections: 1 });
      await scene.ask().result;
      scene.ask({ method: "POST", fields: sized, body: hello }).abort();
      assert.equal((await scene.ask().result).body, "x");
    });
  });

  describe("a connection that was idle for more than a second", () => {
    const cases: readonly (readonly [string, Partial<UpstreamRequest>, number])[] = [
      ["takes a GET", {}, 0],
      ["takes no POST", { method: "POST", fields: sized, body: hello }, 1],
      ["takes no streamed PUT", { method: "PUT", fields: sized, body: "stream" }, 1],
    ];
    for (const maxConnections of [1, 8]) {
      test(`carries only what can be sent twice, in a pool of ${maxConnections}`, async () => {
        await Promise.all(
          cases.map(async ([what, request, connection]) => {
            await using scene = await openScene(
              create,
              staleOnce((peer) => peer.send(answer("connection 0"))),
              {
                maxConnections,
                idleTimeoutMs: 60_000,
              },
            );
            await scene.ask().result;
            await new Promise((resolve) => setTimeout(resolve, 1100));
            const exchange = scene.ask(request);
            if (request.body === "stream") await exchange.stream(["hello"]);
            assert.equal((await exchange.result).body, `connection ${connection}`, what);
          }),
        );
      });
    }

    test("but a connection just used takes a POST", async () => {
      await using scene = await openScene(create, async (peer) => {
        await peer.head();
        peer.send(answer("x"));
        await peer.head();
        await peer.bytes(5);
        peer.send(answer("y"));
      });
      await scene.ask().result;
      const answeredAt = performance.now();
      while (performance.now() - answeredAt < 10) await turns(1);
      const { body } = await scene.ask({ method: "POST", fields: sized, body: hello }).result;
      assert.deepEqual([body, scene.server.peers.length], ["y", 1]);
    });
  });
}
