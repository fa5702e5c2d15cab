// Tests what a transport puts on the wire, and what it refuses to send.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { describe, test } from "node:test";
import type { BodyToSend } from "../../../src/http1/head-writer.ts";
import type { RawPeer } from "../raw-peer.ts";
import { always, answer, type CreateTransport, openScene, turns } from "./scene.ts";

const host = ["Host", "service.test"];
const chunked = [...host, "Transfer-Encoding", "chunked"];
/** More than a paused socket takes from the system, so that its end becomes a reset. */
const unread = Buffer.alloc(200_000);
const sized = (bytes: number): string[] => [...host, "Content-Length", String(bytes)];

export function describeRequests(create: CreateTransport): void {
  describe("a request", () => {
    test("goes out as it was given", async () => {
      const seen: string[] = [];
      await using scene = await openScene(create, async (peer) => {
        seen.push(await peer.head());
        peer.send(answer(""));
      });
      await scene.ask({
        method: "GET",
        target: "/a%20b?c=d&e",
        fields: [...host, "X-a", "1", "x-A", "\xe9 2", "E", ""],
      }).result;
      assert.deepEqual(seen, [
        "GET /a%20b?c=d&e HTTP/1.1\r\nHost: service.test\r\nX-a: 1\r\nx-A: \xe9 2\r\nE: \r\n\r\n",
      ]);
    });

    for (const size of [3, 16 * 1024, 16 * 1024 + 1, 64 * 1024, 3_000_000]) {
      test(`carries a body of ${size} bytes from memory`, async () => {
        const body = randomBytes(size);
        await using scene = await openScene(create, async (peer) => {
          await peer.head();
          const got = Buffer.from(await peer.bytes(size), "latin1");
          peer.send(answer(createHash("sha256").update(got).digest("hex")));
        });
        const { body: digest } = await scene.ask({ method: "POST", fields: sized(size), body }).result;
        assert.equal(digest, createHash("sha256").update(body).digest("hex"));
        assert.equal(scene.transport.counts().idle, 1);
      });
    }

    test("streams a body of announced length", async () => {
      await using scene = await openScene(create, async (peer) => {
        const head = await peer.head();
        peer.send(answer(head + (await peer.bytes(10))));
      });
      const exchange = scene.ask({ method: "PUT", fields: sized(10), body: "stream" });
      await exchange.stream(["hello", "", "world"]);
      assert.equal(
        (await exchange.result).body,
        "PUT / HTTP/1.1\r\nHost: service.test\r\nContent-Length: 10\r\n\r\nhelloworld",
      );
    });

    test("streams a body in chunks, with trailers but those that must not come late", async () => {
      await using scene = await openScene(create, async (peer) => {
        await peer.head();
        peer.send(answer(await peer.until("0\r\nX-Sum: 1\r\n\r\n")));
      });
      const exchange = scene.ask({ method: "POST", fields: chunked, body: "stream" });
      await exchange.stream(["hello", "", "a".repeat(16)], ["X-Sum", "1", "Content-Length", "5"]);
      assert.equal(
        (await exchange.result).body,
        `5\r\nhello\r\n10\r\n${"a".repeat(16)}\r\n0\r\nX-Sum: 1\r\n\r\n`,
      );
      assert.equal(scene.transport.counts().idle, 1);
    });

    test("streams an empty body in chunks", async () => {
      await using scene = await openScene(create, async (peer) => {
        await peer.head();
        peer.send(answer(await peer.until("\r\n\r\n")));
      });
      const exchange = scene.ask({ method: "POST", fields: chunked, body: "stream" });
      await exchange.stream([""]);
      assert.equal((await exchange.result).body, "0\r\n\r\n");
    });

    test("takes the body before there is a connection", async () => {
      await using scene = await openScene(create, async (peer) => {
        await peer.head();
        peer.send(answer(await peer.bytes(5)));
      });
      const exchange = scene.ask({ method: "POST", fields: sized(5), body: "stream" });
      assert.equal(exchange.call.write(Buffer.from("hello")), false);
      exchange.call.end();
      const { body } = await exchange.result;
      assert.deepEqual([body, exchange.calls], ["hello", ["head", "data", "end"]]);
    });

    test("that expects 100 sends its head at once and is told when the service wants the body", async () => {
      await using scene = await openScene(create, async (peer) => {
        await peer.head();
        assert.equal(peer.received, "");
        peer.send("HTTP/1.1 100 Continue\r\n\r\n");
        peer.send(answer(await peer.bytes(5)));
      });
      const fields = [...sized(5), "Expect", "100-continue"];
      const exchange = scene.ask(
        { method: "POST", fields, body: "stream" },
        { onInterim: (status, each) => status === 100 && void each.stream(["hello"]) },
      );
      const { interims, body } = await exchange.result;
      assert.deepEqual([interims.map((each) => each.status), body], [[100], "hello"]);
    });

    test("that expects 100 and gets a final answer is over, and its connection closed", async () => {
      await using scene = await openScene(create, always(answer("no", "", "417 Expectation Failed")));
      const fields = [...sized(5), "Expect", "100-continue"];
      const { status } = await scene.ask({ method: "POST", fields, body: "stream" }).result;
      assert.equal(status, 417);
      await (
        await scene.server.peer(0)
      ).ended;
    });

    test("that is answered before its body is through is over, and its connection closed", async () => {
      await using scene = await openScene(create, async (peer) => {
        await peer.head();
        await peer.bytes(3);
        peer.send(answer("enough", "", "413 Content Too Large"));
      });
      const exchange = scene.ask({ method: "POST", fields: sized(10), body: "stream" });
      exchange.call.write(Buffer.from("abc"));
      const { status, body, error } = await exchange.result;
      assert.deepEqual([status, body, error], [413, "enough", undefined]);
      assert.equal(exchange.call.write(Buffer.from("defghij")), true);
      exchange.call.end();
      const peer = await scene.server.peer(0);
      assert.equal(await peer.rest(), "");
    });

    for (const [how, fields] of [
      ["announced", sized(1_000_000)],
      ["chunked", chunked],
    ] as const) {
      test(`gets an answer that came before a reset, with a body ${how}`, async () => {
        const taken = Promise.withResolvers<RawPeer>();
        await using scene = await openScene(create, async (peer) => {
          await peer.until("abc");
          peer.socket.pause();
          taken.resolve(peer);
        });
        const exchange = scene.ask({ method: "POST", fields, body: "stream" });
        exchange.call.write(Buffer.from("abc"));
        const { socket } = await taken.promise;
        exchange.call.write(unread);
        await turns();
        // All in one turn of the event loop: the next write fails before the answer can be read.
        socket.write(answer("enough", "", "413 Content Too Large"));
        socket.destroy();
        exchange.call.write(Buffer.from("too late"));
        const { status, body, error } = await exchange.result;
        assert.deepEqual([status, body, error], [413, "enough", undefined]);
      });
    }

    for (const [what, bytes] of [
      ["a small", 4],
      ["a big", 60_000],
    ] as const) {
      test(`gets the rest of ${what} answer that it held up itself when a write failed`, async () => {
        const taken = Promise.withResolvers<RawPeer>();
        await using scene = await openScene(create, async (peer) => {
          await peer.until("abc");
          peer.socket.pause();
          taken.resolve(peer);
        });
        const held = Promise.withResolvers<void>();
        const exchange = scene.ask(
          { method: "POST", fields: sized(3 + 4 * unread.length), body: "stream" },
          {
            onData: (_chunk, self) => {
              held.resolve();
              void goOn.promise.then(() => turns(5)).then(() => self.resume());
              return false;
            },
          },
        );
        const goOn = Promise.withResolvers<void>();
        exchange.call.write(Buffer.from("abc"));
        const { socket } = await taken.promise;
        exchange.call.write(unread);
        const rest = Buffer.alloc(bytes, "x");
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes + 4}\r\n\r\npart`);
        await held.promise;
        socket.write(rest);
        await turns();
        socket.destroy();
        // A client that sends everything before it reads on is not held up.
        await exchange.stream([unread, unread, unread]);
        await turns();
        goOn.resolve();
        const { body, error } = await exchange.result;
        assert.deepEqual([body.length, error], [bytes + 4, undefined]);
      });
    }

    test("whose last write failed leaves no connection behind, whatever its answer says", async () => {
      const taken = Promise.withResolvers<RawPeer>();
      await using scene = await openScene(create, async (peer) => {
        await peer.until("abc");
        peer.socket.pause();
        taken.resolve(peer);
      });
      const exchange = scene.ask({ method: "POST", fields: sized(unread.length + 7), body: "stream" });
      exchange.call.write(Buffer.from("abc"));
      const { socket } = await taken.promise;
      exchange.call.write(unread);
      await turns();
      socket.write(answer("enough"));
      socket.destroy();
      exchange.call.write(Buffer.from("ghij"));
      exchange.call.end();
      assert.equal((await exchange.result).status, 200);
      assert.deepEqual(scene.transport.counts(), { active: 0, idle: 0, queued: 0, upgraded: 0 });
    });

    test("may be answered while its body goes on", async () => {
      await using scene = await openScene(create, async (peer) => {
        await peer.head();
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for (const part of ["a", "b"]) {
          await peer.until(`1\r\n${part}\r\n`);
          peer.send(`1\r\n${part.toUpperCase()}\r\n`);
        }
        await peer.until("0\r\n\r\n");
        peer.send("0\r\n\r\n");
      });
      const exchange = scene.ask(
        { method: "POST", fields: chunked, body: "stream" },
        {
          onHead: (each) => each.call.write(Buffer.from("a")),
          onData: (chunk, each) => {
            if (chunk.toString() === "A") each.call.write(Buffer.from("b"));
            else each.call.end();
            return true;
          },
        },
      );
      assert.equal((await exchange.result).body, "AB");
      assert.equal(scene.transport.counts().idle, 1);
    });
  });

  describe("a request body", () => {
    test("longer than announced is cut off before its surplus, and fails", async () => {
      await using scene = await openScene(create, async (peer) => {
        await peer.head();
      });
      const exchange = scene.ask({ method: "POST", fields: sized(5), body: "stream" });
      const peer = await scene.server.peer(0);
      exchange.call.write(Buffer.from("hello"));
      exchange.call.write(Buffer.from("GET /smuggled HTTP/1.1\r\n\r\n"));
      assert.equal((await exchange.result).error?.code, "internal_error");
      assert.ok(!(await peer.rest()).includes("smuggled"));
    });

    test("shorter than announced closes the connection, and fails", async () => {
      await using scene = await openScene(create, async (peer) => {
        await peer.head();
      });
      const exchange = scene.ask({ method: "POST", fields: sized(5), body: "stream" });
      exchange.call.write(Buffer.from("hell"));
      exchange.call.end();
      assert.equal((await exchange.result).error?.code, "internal_error");
      assert.deepEqual(scene.transport.counts(), { active: 0, idle: 0, queued: 0, upgraded: 0 });
    });

    test("with a line end in a trailer fails", async () => {
      await using scene = await openScene(create, async (peer) => {
        await peer.head();
        assert.ok(!(await peer.rest()).includes("X-B"));
      });
      const exchange = scene.ask({ method: "POST", fields: chunked, body: "stream" });
      await exchange.stream(["a"], ["X-A", "1\r\nX-B: 2"]);
      assert.equal((await exchange.result).error?.code, "malformed_request");
    });
  });

  describe("a request that must not be sent", () => {
    const none: BodyToSend = "none";
    for (const [what, request, code] of [
      ["a line end in its method", { method: "GET / HTTP/1.1\r\nX:" }, "malformed_request"],
      ["a blank in its target", { target: "/ HTTP/1.1" }, "malformed_request"],
      ["a line end in its target", { target: "/\r\nX: 1" }, "malformed_request"],
      ["an empty target", { target: "" }, "malformed_request"],
      ["a target outside ASCII", { target: "/\u010d\u010a" }, "malformed_request"],
      ["a line end in a field", { fields: [...host, "X", "1\r\nY: 2"] }, "malformed_request"],
      ["bare LF in a field", { fields: [...host, "X", "1\nY: 2"] }, "malformed_request"],
      ["NUL in a field", { fields: [...host, "X", "\0"] }, "malformed_request"],
      ["a character that would be cut to LF", { fields: [...host, "X", "1\u010aY: 2"] }, "malformed_request"],
      ["a colon in a name", { fields: [...host, "X: 1\r\nY", "2"] }, "malformed_request"],
      ["an empty name", { fields: [...host, "", "2"] }, "malformed_request"],
      ["a body nobody sends", { fields: sized(5), body: none }, "internal_error"],
      ["another length than its body", { fields: sized(5), body: Buffer.from("abc") }, "internal_error"],
      [
        "two lengths",
        { fields: [...sized(3), "content-length", "3"], body: Buffer.from("abc") },
        "internal_error",
      ],
      [
        "length and chunks",
        { fields: [...sized(3), "transfer-encoding", "chunked"], body: "stream" },
        "internal_error",
      ],
      ["a stream without framing", { fields: host, body: "stream" }, "internal_error"],
      [
        "another coding",
        { fields: [...host, "Transfer-Encoding", "gzip"], body: "stream" },
        "internal_error",
      ],
    ] as const) {
      test(`with ${what} never reaches the service`, async () => {
        await using scene = await openScene(create, always(answer("")));
        const exchange = scene.ask(request);
        assert.deepEqual(exchange.calls, [], "no callback from within send");
        assert.equal((await exchange.result).error?.code, code);
        await turns();
        assert.equal(scene.server.peers.length, 0);
      });
    }
  });
}
