// Tests back-pressure and aborts, in both directions.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, test } from "node:test";
import { always, answer, type CreateTransport, openScene, turns } from "./scene.ts";

const piece = Buffer.alloc(64 * 1024, "0123456789abcdef");
const PIECES = 512;
const TOTAL = piece.length * PIECES;

function digestOfAll(): string {
  const hash = createHash("sha256");
  for (let i = 0; i < PIECES; i += 1) hash.update(piece);
  return hash.digest("hex");
}

export function describeStreaming(create: CreateTransport): void {
  for (const [framing, head, wrap, last] of [
    ["announced length", `Content-Length: ${TOTAL}`, (data: Buffer) => [data], ""],
    ["chunks", "Transfer-Encoding: chunked", (data: Buffer) => ["10000\r\n", data, "\r\n"], "0\r\n\r\n"],
  ] as const) {
    describe(`a big response body of ${framing}`, () => {
      test("waits while its receiver does, and comes whole", async () => {
        let held = 0;
        await using scene = await openScene(create, async (peer) => {
          await peer.head();
          peer.send(`HTTP/1.1 200 OK\r\n${head}\r\n\r\n`);
          for (let i = 0; i < PIECES; i += 1) {
            for (const part of wrap(piece)) peer.send(part);
            if (!peer.socket.writableNeedDrain) continue;
            held += 1;
            await new Promise((resolve) => peer.socket.once("drain", resolve));
          }
          peer.send(last);
        });
        const hash = createHash("sha256");
        let chunks = 0;
        const exchange = scene.ask(
          {},
          {
            onData: (chunk, each) => {
              hash.update(chunk);
              chunks += 1;
              if (chunks % 16 === 0) setImmediate(() => each.resume());
              return chunks % 16 !== 0;
            },
          },
        );
        const { error } = await exchange.result;
        assert.deepEqual([error, exchange.bodyBytes, hash.digest("hex")], [undefined, TOTAL, digestOfAll()]);
        assert.ok(held > 0, "the service had to wait");
        assert.equal(scene.transport.counts().idle, 1);
      });
    });
  }

  test("a receiver that does not resume gets no more, however much is sent", async () => {
    await using scene = await openScene(create, async (peer) => {
      await peer.head();
      peer.send(`HTTP/1.1 200 OK\r\nContent-Length: ${TOTAL}\r\n\r\n`);
      for (let i = 0; i < PIECES; i += 1) peer.send(piece);
    });
    const exchange = scene.ask({}, { onData: () => false });
    await exchange.headed;
    await turns(200);
    const peer = await scene.server.peer(0);
    assert.ok(exchange.bodyBytes <= piece.length, "one chunk at most");
    assert.ok(peer.socket.writableLength > TOTAL / 4, "the service's bytes stay with the service");
    exchange.abort();
    await peer.closed;
  });

  test("a response that ends while its receiver waits comes whole", async () => {
    await using scene = await openScene(create, async (peer) => {
      await peer.head();
      peer.end(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\nX: y\r\n\r\n",
      );
    });
    const exchange = scene.ask({}, { onData: () => false });
    await exchange.headed;
    await turns();
    for (let i = 0; i < 3; i += 1) {
      assert.equal(exchange.bodyBytes, i + 1);
      exchange.resume();
    }
    const { body, trailers } = await exchange.result;
    assert.deepEqual([body, trailers], ["abc", ["X", "y"]]);
  });

  test("a response that breaks off while its receiver waits does not look complete", async () => {
    await using scene = await openScene(create, async (peer) => {
      await peer.head();
      peer.end("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n");
    });
    const exchange = scene.ask({}, { onData: () => false });
    await exchange.headed;
    await turns();
    exchange.resume();
    exchange.resume();
    const { body, error } = await exchange.result;
    assert.deepEqual([body, error?.code], ["ab", "upstream_reset"]);
  });

  test("a big request body waits while the service does, and arrives whole", async () => {
    await using scene = await openScene(create, async (peer) => {
      peer.socket.pause();
      await turns(50);
      peer.socket.resume();
      await peer.head();
      const hash = createHash("sha256");
      for (let i = 0; i < PIECES; i += 1) hash.update(await peer.bytes(piece.length), "latin1");
      peer.send(answer(hash.digest("hex")));
    });
    const fields = ["Host", "service.test", "Content-Length", String(TOTAL)];
    const exchange = scene.ask({ method: "PUT", fields, body: "stream" });
    let waits = 0;
    for (let i = 0; i < PIECES; i += 1) {
      if (exchange.call.write(piece)) continue;
      waits += 1;
      await exchange.drained();
    }
    exchange.call.end();
    assert.equal((await exchange.result).body, digestOfAll());
    assert.ok(waits > 1, "the sender had to wait");
  });

  describe("an exchange that is given up", () => {
    const fields = ["Host", "service.test", "Content-Length", "10"];

    test("before there is a connection leaves nothing behind", async () => {
      await using scene = await openScene(create, always(answer("x")));
      scene.ask().abort();
      assert.deepEqual(scene.transport.counts(), { active: 0, idle: 0, queued: 0, upgraded: 0 });
      await turns();
      assert.equal((await scene.ask().result).body, "x");
    });

    test("before the head closes its connection", async () => {
      await using scene = await openScene(create, () => {});
      const exchange = scene.ask();
      await (await scene.server.peer(0)).head();
      exchange.abort();
      await (
        await scene.server.peer(0)
      ).ended;
    });

    test("within the request body closes its connection", async () => {
      await using scene = await openScene(create, async (peer) => {
        await peer.head();
      });
      const exchange = scene.ask({ method: "POST", fields, body: "stream" });
      const peer = await scene.server.peer(0);
      exchange.call.write(Buffer.from("abc"));
      await turns();
      exchange.abort();
      await peer.ended;
      assert.equal(exchange.call.write(Buffer.from("defghij")), true);
      exchange.call.end();
    });

    for (const where of ["onHead", "onData"] as const) {
      test(`from within ${where} hears nothing more, not even of bytes that are here already`, async () => {
        await using scene = await openScene(
          create,
          always("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n"),
        );
        const exchange = scene.ask(
          {},
          {
            onHead: (each) => where === "onHead" && each.abort(),
            onData: (_chunk, each) => {
              each.abort();
              return true;
            },
          },
        );
        await exchange.headed;
        await (
          await scene.server.peer(0)
        ).ended;
        assert.deepEqual(exchange.calls, where === "onHead" ? ["head"] : ["head", "data"]);
      });
    }

    test("after its end keeps its connection", async () => {
      await using scene = await openScene(create, always(answer("x")));
      const exchange = scene.ask();
      await exchange.result;
      exchange.abort();
      exchange.call.resume();
      assert.equal((await scene.ask().result).body, "x");
      assert.equal(scene.server.peers.length, 1);
    });

    test("right after a request that must not be sent hears nothing", async () => {
      await using scene = await openScene(create, always(answer("x")));
      const exchange = scene.ask({ target: "/\r\n" });
      exchange.abort();
      await turns();
      assert.deepEqual(exchange.calls, []);
    });
  });
}
