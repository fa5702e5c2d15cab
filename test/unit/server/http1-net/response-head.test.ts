import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { linesOf, ResponseHead } from "../../../../src/server/http1-net/response-head.ts";

const get = { method: "GET", httpVersion: "1.1", keepAlive: true };

describe("the head of a response", () => {
  test("is framed, dated and closed by fields of that very name alone", () => {
    const head = new ResponseHead(5_000);
    head.make(get, 200, undefined, ["Content_Length", "5", "date_", "x", "Connection_", "close"]);
    assert.deepEqual([head.chunked, head.isLast], [true, false]);
    assert.match(
      head.text,
      /\r\nDate: .*\r\nConnection: keep-alive\r\n.*\r\nTransfer-Encoding: chunked\r\n/s,
    );
    head.make(get, 200, undefined, ["CONTENT-LENGTH", "5", "connection", "close"]);
    assert.deepEqual([head.chunked, head.isLast], [false, true]);
  });

  test("has the usual reason of its status, another that was given, or says that none is known", () => {
    const head = new ResponseHead(5_000);
    const lineOf = (status: number, text?: string): string | undefined => {
      head.make(get, status, text, []);
      return head.text.split("\r\n", 1)[0];
    };
    assert.equal(lineOf(404), "HTTP/1.1 404 Not Found");
    assert.equal(lineOf(404, "Nobody"), "HTTP/1.1 404 Nobody");
    assert.equal(lineOf(404, ""), "HTTP/1.1 404 ");
    assert.equal(lineOf(299), "HTTP/1.1 299 unknown");
  });

  test("and trailers, hold no line that was not given", () => {
    for (const [name, value] of [
      ["X A", "1"],
      ["", "1"],
      ["X-A\r\nX-B", "1"],
      ["X-A", "1\r\nX-B: 2"],
      ["X-A", "\u010a"],
    ] as const) {
      assert.throws(() => linesOf([name, value]), /cannot be sent/);
      assert.throws(() => new ResponseHead(0).make(get, 200, undefined, [name, value]), /cannot be sent/);
    }
    assert.equal(linesOf(["X-A", "1"]), "X-A: 1\r\n");
  });
});
