import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { MALFORMED, NEED_MORE } from "../../../src/http1/field-section.ts";
import { RequestParser } from "../../../src/http1/request-parser.ts";
import { eventually } from "../../support/redis.ts";

interface Read {
  readonly head: readonly unknown[];
  readonly body: string;
  readonly trailers: readonly string[];
  readonly complete: boolean;
  /** Bytes behind it. */
  readonly rest: string;
  readonly problem: string;
  readonly overflow: boolean;
}

/** Reads one request, from parts that end there. */
function read(text: string, cuts: readonly number[] = [], maxHeaderBytes = 4_096): Read {
  const bytes = Buffer.from(text, "latin1");
  const parser = new RequestParser(maxHeaderBytes);
  parser.begin();
  let body = "";
  const sink = { onBody: (chunk: Buffer) => void (body += chunk.toString("latin1")) };
  let isHead = true;
  let rest = "";
  let from = 0;
  for (const to of [...cuts, bytes.length]) {
    const part = bytes.subarray(from, to);
    from = to;
    let at = isHead ? parser.readHead(part, 0) : 0;
    if (at === NEED_MORE) continue;
    if (at !== MALFORMED) {
      isHead = false;
      at = parser.readBody(part, at, sink);
    }
    if (at === MALFORMED) break;
    rest += part.subarray(at).toString("latin1");
  }
  const { line, framing, fields, problem, overflow, complete, trailers } = parser;
  const { kind, keepAlive, upgrade, expectsContinue } = framing;
  const head = isHead
    ? []
    : [line.method, line.target, line.httpVersion, fields, kind, keepAlive, upgrade, expectsContinue];
  return { head, body, trailers: complete ? trailers : [], complete, rest, problem, overflow };
}

const chunked =
  "\r\nPOST /a?b HTTP/1.1\r\nHost: a\r\nX-A:  b \t\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n" +
  '3;a="b"\r\nabc\r\n0a\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\nGET';

describe("a request parser", () => {
  test("reads a request alike from any two cuts", () => {
    const fields = ["Host", "a", "X-A", "b", "Transfer-Encoding", "chunked", "Connection", "close"];
    const whole = read(chunked);
    assert.deepEqual(whole, {
      head: ["POST", "/a?b", "1.1", fields, "chunked", false, undefined, false],
      body: "abc0123456789",
      trailers: ["X-T", "1"],
      complete: true,
      rest: "GET",
      problem: "",
      overflow: false,
    });
    for (let first = 1; first < chunked.length; first += 1) {
      assert.deepEqual(read(chunked, [first]), whole, `cut at ${first}`);
      const second = Math.min(first + 3, chunked.length - 1);
      assert.deepEqual(read(chunked, [first, second]), whole, `cut at ${first} and ${second}`);
    }
  });

  for (const [what, text, problem] of [
    ["no method", " / HTTP/1.1\r\n", "invalid method"],
    ["a method that nobody knows", "GRAB / HTTP/1.1\r\n", "invalid method"],
    ["a method in small letters", "get / HTTP/1.1\r\n", "invalid method"],
    ["a method without end", "A".repeat(100), "invalid method"],
    ["the bytes of a TLS handshake", "\x16\x03\x01\x02", "invalid method"],
    ["two spaces", "GET  / HTTP/1.1\r\n", "invalid character in the target"],
    ["a control character in the target", "GET /\x01 HTTP/1.1\r\n", "invalid character in the target"],
    ["no version", "GET /\r\n", "invalid character in the target"],
    ["another protocol", "GET / RTSP/1.0\r\n", "invalid HTTP version"],
    ["a version that is none", "GET / HTTP/1.7\r\n", "invalid HTTP version"],
    ["a longer version", "GET / HTTP/1.10\r\n", "invalid HTTP version"],
    ["a bare LF", "GET / HTTP/1.1\n", "invalid HTTP version"],
    ["a bare CR", "GET / HTTP/1.1\rHost: a", "bare CR"],
    ["a folded line", "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", "bad start of a field line"],
    ["a space before a colon", "GET / HTTP/1.1\r\nA : b\r\n\r\n", "bad character in a field name"],
    ["NUL in a value", "GET / HTTP/1.1\r\nA: \0\r\n\r\n", "control character in a field value"],
    [
      "two lengths",
      "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
      "several Content-Length fields",
    ],
    ["a signed length", "GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", "bad Content-Length"],
    ["an empty length", "GET / HTTP/1.1\r\nContent-Length:\r\n\r\n", "bad Content-Length"],
    [
      "a length and chunks",
      "GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
      "both Content-Length and Transfer-Encoding",
    ],
    [
      "a coding without end",
      "GET / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
      "Transfer-Encoding does not end in chunked",
    ],
    ["no chunk", "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx", "bad chunk size"],
    [
      "a length in the trailers",
      "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 1\r\n\r\n",
      "a trailer that would frame the body",
    ],
  ] as const) {
    test(`refuses ${what}, however it is cut`, () => {
      const all = Array.from({ length: text.length - 1 }, (_, i) => i + 1);
      for (const cuts of [[], all]) {
        const { problem: found, overflow } = read(text, cuts);
        assert.deepEqual([found, overflow], [problem, false]);
      }
    });
  }

  test("bounds names and values together, whatever stands around them", () => {
    const head = (length: number): string => `GET / HTTP/1.1\r\nHost: a\r\nX: ${"y".repeat(length)}\r\n\r\n`;
    // "/" + "Host" + "a" + "X"
    const fits = 99 - 7;
    assert.equal(read(head(fits), [], 100).complete, true);
    for (const cuts of [[], [30, 60]]) assert.equal(read(head(fits + 1), cuts, 100).overflow, true);
    assert.equal(read("GET /".padEnd(200, "x"), [], 100).overflow, true);
    assert.equal(read(`GET / HTTP/1.1\r\n${"a:\r\n".repeat(99)}\r\n`, [], 100).overflow, true);
    const trailers = `GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ${"y".repeat(100)}`;
    assert.equal(read(trailers, [], 100).overflow, true);
  });

  test("bounds how many fields there are, however small they are", () => {
    const head = (fields: number): string => `GET / HTTP/1.1\r\n${"a:b\r\n".repeat(fields)}\r\n`;
    assert.equal(read(head(1_000), [], 16_384).complete, true);
    for (const cuts of [[], [3_000]]) assert.equal(read(head(1_001), cuts, 16_384).overflow, true);
  });

  for (const [what, text, keepAlive, upgrade, expects] of [
    ["1.1", "GET / HTTP/1.1\r\n\r\n", true, undefined, false],
    ["1.0", "GET / HTTP/1.0\r\n\r\n", false, undefined, false],
    ["1.0 that asks to go on", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true, undefined, false],
    [
      "1.0 that says both",
      "GET / HTTP/1.0\r\nConnection: keep-alive, Close\r\n\r\n",
      false,
      undefined,
      false,
    ],
    [
      "an upgrade",
      "GET / HTTP/1.1\r\nConnection: a, Upgrade\r\nUpgrade: WebSocket\r\n\r\n",
      true,
      "websocket",
      false,
    ],
    [
      "an upgrade that Connection does not name",
      "GET / HTTP/1.1\r\nUpgrade: x\r\n\r\n",
      true,
      undefined,
      false,
    ],
    ["Expect", "GET / HTTP/1.1\r\nExpect: 100-Continue\r\n\r\n", true, undefined, true],
    ["Expect in 1.0", "GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n", false, undefined, false],
  ] as const) {
    test(`says of the connection what ${what} says`, () => {
      assert.deepEqual(read(text).head.slice(5), [keepAlive, upgrade, expects]);
    });
  }
});

describe("what a request parser keeps", () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const count = 200;
  /** Resolves once each parser keeps no more than so many bytes alive behind what it has read: memory is given back later. */
  const keepAtMost = async (limit: number, use: (parser: RequestParser) => void): Promise<void> => {
    const parsers = Array.from({ length: count }, () => new RequestParser(16_384));
    const alive = (): number => {
      collect();
      const { heapUsed, arrayBuffers } = process.memoryUsage();
      return heapUsed + arrayBuffers;
    };
    // What was before them is given back later, too.
    for (let i = 0; i < 3; i += 1) await new Promise((resolve) => setTimeout(resolve, 10, alive()));
    const before = alive();
    for (const parser of parsers) use(parser);
    await eventually(`${limit} bytes`, () => (alive() - before) / parsers.length <= limit, 5_000);
  };
  const head = (value: string): string => `GET /${value} HTTP/1.1\r\nHost: a\r\nX-A: ${value}\r\n`;

  for (const [what, text] of [
    ["request line", "GET /a HT"],
    ["head", "GET / HTTP/1.1\r\nHost: a\r\nX-"],
  ] as const) {
    test(`of a ${what} that has begun in a large read: no more than that`, async () => {
      await keepAtMost(8_192, (parser) => {
        const bytes = Buffer.alloc(65_536);
        bytes.write(text, bytes.length - text.length, "latin1");
        parser.begin();
        assert.equal(parser.readHead(bytes, bytes.length - text.length), NEED_MORE);
      });
    });
  }

  test("of a request that is over: nothing", async () => {
    const bytes = Buffer.from(`${head("a".repeat(7_000))}Transfer-Encoding: chunked\r\n\r\n`);
    const body = Buffer.from(`0\r\nX-T: ${"t".repeat(7_000)}\r\n\r\n`);
    await keepAtMost(4_096, (parser) => {
      parser.begin();
      assert.equal(parser.readHead(bytes, 0), bytes.length);
      parser.readBody(body, 0, { onBody: () => {} });
      assert.equal(parser.trailers.length, 2);
      parser.begin();
    });
  });

  test("of blanks before values: no more than of the fields", () => {
    const blank = read(`GET / HTTP/1.1\r\nHost: a\r\nX-A:${" ".repeat(16_000)}b\r\n\r\n`, [], 4_096);
    assert.deepEqual([blank.overflow, blank.head.length], [true, 0]);
    const small = read(`GET / HTTP/1.1\r\nHost: a\r\n${"x: 1\r\n".repeat(990)}\r\n`, [], 4_096);
    assert.equal(small.head.length, 8);
  });
});
