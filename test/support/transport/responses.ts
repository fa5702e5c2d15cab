// Tests how a transport reads responses: heads, interim heads, bodies of every framing, trailers, and everything a
// service may send that is not a response.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { RawPeer } from "../raw-peer.ts";
import { always, answer, type CreateTransport, openScene, turns } from "./scene.ts";

export function describeResponses(create: CreateTransport): void {
  describe("a response", () => {
    test("comes with its status, reason, fields as received and body", async () => {
      await using scene = await openScene(
        create,
        always(
          "HTTP/1.1 418 I'm a tea pot\r\nX-A: 1\r\nset-cookie: a=b\r\nSet-Cookie:c=d \r\nContent-Length: 5\r\n\r\nhello",
        ),
      );
      const { status, statusText, fields, body, error } = await scene.ask().result;
      assert.deepEqual([status, statusText, body, error], [418, "I'm a tea pot", "hello", undefined]);
      assert.deepEqual(fields, ["X-A", "1", "set-cookie", "a=b", "Set-Cookie", "c=d", "Content-Length", "5"]);
    });

    test("is the same when it comes byte by byte", async () => {
      const text =
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
        "3;x=y\r\nabc\r\n0a\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n";
      await using scene = await openScene(create, async (peer) => {
        await peer.head();
        await peer.dribble(text);
      });
      const { status, interims, body, trailers } = await scene.ask().result;
      assert.deepEqual([status, body, trailers], [200, "abc0123456789", ["X-Sum", "1"]]);
      assert.deepEqual(interims, [{ status: 103, fields: ["Link", "</a>"] }]);
    });

    test("in chunks comes with trailers, but without those that must not come late", async () => {
      await using scene = await openScene(
        create,
        always(
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n" +
            "X-Checksum: 1\r\nContent-Length: 3\r\nSet-Cookie: a=b\r\nx-other: 2\r\n\r\n",
        ),
      );
      const first = await scene.ask().result;
      assert.deepEqual([first.body, first.trailers], ["hello", ["X-Checksum", "1", "x-other", "2"]]);
      const second = await scene.ask().result;
      assert.deepEqual([second.body, scene.server.peers.length], ["hello", 1]);
    });

    for (const version of ["1.0", "1.1"]) {
      test(`without a length ends with its HTTP/${version} connection`, async () => {
        await using scene = await openScene(create, async (peer) => {
          await peer.head();
          peer.end(`HTTP/${version} 200 OK\r\n\r\nall there is`);
        });
        const { body, error } = await scene.ask().result;
        assert.deepEqual([body, error], ["all there is", undefined]);
        assert.equal(scene.transport.counts().idle, 0);
      });
    }

    for (const [what, method, head] of [
      ["to HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"],
      ["to HEAD in chunks", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"],
      ["204", "GET", "HTTP/1.1 204 No Content\r\n\r\n"],
      ["304 with a length", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"],
      ["with an empty body", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"],
    ] as const) {
      test(`${what} ends with its head`, async () => {
        await using scene = await openScene(create, always(head));
        for (let i = 0; i < 2; i += 1) {
          const { body, error } = await scene.ask({ method }).result;
          assert.deepEqual([body, error], ["", undefined]);
        }
      });
    }

    test("to HEAD that has a body all the same does not become the next answer", async () => {
      await using scene = await openScene(create, async (peer, index) => {
        await peer.head();
        if (index > 0) peer.send(answer("right"));
        else {
          peer.send("HTTP/1.1 200 OK\r\nContent-Length: 38\r\n\r\n");
          await peer.ended;
        }
      });
      assert.equal((await scene.ask({ method: "HEAD" }).result).error, undefined);
      assert.equal((await scene.ask().result).body, "right");
    });
  });

  describe("an interim response", () => {
    test("is told, as often as it comes", async () => {
      const hint = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
      await using scene = await openScene(create, always(hint + hint + answer("x")));
      const { interims, body } = await scene.ask().result;
      assert.deepEqual([interims.map((each) => each.status), body], [[103, 103], "x"]);
    });

    test("100 is not told to whoever has not asked for it", async () => {
      await using scene = await openScene(create, always(`HTTP/1.1 100 Continue\r\n\r\n${answer("x")}`));
      const { interims, body } = await scene.ask().result;
      assert.deepEqual([interims, body], [[], "x"]);
    });
  });

  describe("what is not a response", () => {
    for (const [what, text] of malformed) {
      test(`${what} is refused and its connection closed`, async () => {
        await using scene = await openScene(create, async (peer, index) => {
          await peer.head();
          peer.send(index === 0 ? text : answer("fine"));
          await peer.ended;
        });
        const { error } = await scene.ask().result;
        assert.equal(error?.code, "upstream_invalid_response");
        await (
          await scene.server.peer(0)
        ).ended;
        assert.equal((await scene.ask().result).body, "fine");
      });
    }

    for (const [what, text] of broken) {
      test(`${what} breaks off`, async () => {
        await using scene = await openScene(create, async (peer) => {
          await peer.head();
          peer.end(text);
        });
        const exchange = scene.ask();
        assert.equal((await exchange.result).error?.code, "upstream_reset");
        assert.equal(exchange.calls.includes("head"), text.includes("\r\n\r\n"));
      });
    }

    test("a reset within a body without a length does not look complete", async () => {
      await using scene = await openScene(create, async (peer) => {
        await peer.head();
        peer.send("HTTP/1.1 200 OK\r\n\r\nhalf");
      });
      const exchange = scene.ask();
      await exchange.headed;
      scene.server.peers[0]?.reset();
      assert.equal((await exchange.result).error?.code, "upstream_reset");
    });

    test("a body without a length does not look complete where a failed write told of the reset", async () => {
      const taken = Promise.withResolvers<RawPeer>();
      await using scene = await openScene(create, async (peer) => {
        await peer.until("abc");
        peer.socket.pause();
        taken.resolve(peer);
      });
      const fields = ["Host", "service.test", "Transfer-Encoding", "chunked"];
      const exchange = scene.ask({ method: "POST", fields, body: "stream" });
      exchange.call.write(Buffer.from("abc"));
      const { socket } = await taken.promise;
      // More than a paused socket takes from the system: its end becomes a reset.
      exchange.call.write(Buffer.alloc(200_000));
      await turns();
      socket.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\npart");
      socket.destroy();
      exchange.call.write(Buffer.from("too late"));
      const { status, body, error } = await exchange.result;
      assert.deepEqual([status, body, error?.code], [200, "part", "upstream_reset"]);
    });

    test("bytes after the end close the connection, whether they come with the answer or later", async () => {
      await using scene = await openScene(create, async (peer, index) => {
        await peer.head();
        peer.send(answer(String(index)) + (index === 0 ? answer("poison") : ""));
      });
      assert.equal((await scene.ask().result).body, "0");
      assert.equal((await scene.ask().result).body, "1");
      assert.deepEqual(scene.transport.counts(), { active: 0, idle: 1, queued: 0, upgraded: 0 });
      const idle = await scene.server.peer(1);
      idle.send(answer("poison"));
      await idle.ended;
      assert.equal((await scene.ask().result).body, "2");
    });
  });
}

const ok = "HTTP/1.1 200 OK\r\n";

const malformed: readonly (readonly [string, string])[] = [
  ["another protocol", "SSH-2.0-OpenSSH_9.2\r\n\r\n"],
  ["another version", "HTTP/2.0 200 OK\r\n\r\n"],
  ["a version in lower case", "http/1.1 200 OK\r\n\r\n"],
  ["a status of two digits", "HTTP/1.1 20 OK\r\n\r\n"],
  ["a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n"],
  ["a status below 100", "HTTP/1.1 099 OK\r\n\r\n"],
  ["a control character in the reason", "HTTP/1.1 200 O\x01K\r\n\r\n"],
  ["bare LF as line end", "HTTP/1.1 200 OK\nContent-Length: 0\n\n"],
  ["bare LF within the fields", `${ok}X-A: 1\nContent-Length: 0\r\n\r\n`],
  ["bare CR in a value", `${ok}X-A: 1\rX-B: 2\r\nContent-Length: 0\r\n\r\n`],
  ["NUL in a value", `${ok}X-A: a\0b\r\nContent-Length: 0\r\n\r\n`],
  ["NUL in a name", `${ok}X\0A: 1\r\nContent-Length: 0\r\n\r\n`],
  ["obsolete folding", `${ok}X-A: 1\r\n folded\r\nContent-Length: 0\r\n\r\n`],
  ["folding before the first field", `${ok} X-A: 1\r\nContent-Length: 0\r\n\r\n`],
  ["a blank before the colon", `${ok}Content-Length : 0\r\n\r\n`],
  ["a field without a colon", `${ok}Content-Length\r\n\r\n`],
  ["a field without a name", `${ok}: 1\r\nContent-Length: 0\r\n\r\n`],
  ["a name outside ASCII", `${ok}X-\xe9: 1\r\nContent-Length: 0\r\n\r\n`],
  ["two lengths that differ", `${ok}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab`],
  ["two lengths that agree", `${ok}Content-Length: 1\r\nContent-Length: 1\r\n\r\na`],
  ["a list of lengths", `${ok}Content-Length: 1, 1\r\n\r\na`],
  ["a signed length", `${ok}Content-Length: +1\r\n\r\na`],
  ["a length in hexadecimal", `${ok}Content-Length: 0x1\r\n\r\na`],
  ["an empty length", `${ok}Content-Length: \r\n\r\n`],
  ["a length beyond counting", `${ok}Content-Length: 99999999999999999999\r\n\r\n`],
  ["length and chunks both", `${ok}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ["two codings", `${ok}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`],
  ["chunked twice", `${ok}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ["an unknown coding", `${ok}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`],
  ["a coding in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
  ["an upgrade nobody asked for", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"],
  ["an interim response with a body", `HTTP/1.1 103 Early Hints\r\nContent-Length: 3\r\n\r\nabc${ok}\r\n`],
  ["an interim response in HTTP/1.0", `HTTP/1.0 103 Early Hints\r\n\r\n${ok}\r\n`],
  ["interim responses without end", "HTTP/1.1 102 Processing\r\n\r\n".repeat(1000)],
  ["a head beyond 64 KiB", `${ok}X-A: ${"a".repeat(70_000)}\r\n\r\n`],
  ["a head that does not end", `${ok}X-A: ${"a".repeat(140_000)}`],
  ["more fields than can be meant", `${ok}${"a: b\r\n".repeat(5000)}\r\n`],
  ["a chunk size that is none", `${ok}Transfer-Encoding: chunked\r\n\r\nxyz\r\n`],
  ["an empty chunk size", `${ok}Transfer-Encoding: chunked\r\n\r\n\r\n0\r\n\r\n`],
  ["a negative chunk size", `${ok}Transfer-Encoding: chunked\r\n\r\n-1\r\na\r\n0\r\n\r\n`],
  ["a chunk size in 0x form", `${ok}Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n`],
  ["a chunk size beyond counting", `${ok}Transfer-Encoding: chunked\r\n\r\n${"f".repeat(17)}\r\n`],
  ["a blank behind the chunk size", `${ok}Transfer-Encoding: chunked\r\n\r\n1 \r\na\r\n0\r\n\r\n`],
  ["bare LF behind the chunk size", `${ok}Transfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n`],
  ["a chunk longer than its size", `${ok}Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n`],
  [
    "chunk extensions without end",
    `${ok}Transfer-Encoding: chunked\r\n\r\n1;${"a".repeat(20_000)}\r\na\r\n0\r\n\r\n`,
  ],
  ["bare CR in a chunk extension", `${ok}Transfer-Encoding: chunked\r\n\r\n1;a\rb\r\na\r\n0\r\n\r\n`],
  ["a malformed trailer", `${ok}Transfer-Encoding: chunked\r\n\r\n0\r\nX A: 1\r\n\r\n`],
  [
    "trailers beyond 64 KiB",
    `${ok}Transfer-Encoding: chunked\r\n\r\n0\r\nX-A: ${"a".repeat(70_000)}\r\n\r\n`,
  ],
];

const broken: readonly (readonly [string, string])[] = [
  ["a connection that ends without an answer", ""],
  ["a head that ends in its middle", "HTTP/1.1 200 OK\r\nContent-Le"],
  ["only an interim response", "HTTP/1.1 103 Early Hints\r\n"],
  ["a body shorter than its length", `${ok}Content-Length: 10\r\n\r\nabc`],
  ["a body without its last chunk", `${ok}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n`],
  ["a body without the end of its trailers", `${ok}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n`],
];
