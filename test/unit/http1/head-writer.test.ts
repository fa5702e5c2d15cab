import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { GatewayError } from "../../../src/plugin-api/errors.ts";
import { CHUNKED, encodeHead, encodeLastChunk } from "../../../src/http1/head-writer.ts";
import type { UpstreamRequest } from "../../../src/upstream/transport.ts";

function request(changes: Partial<UpstreamRequest>): UpstreamRequest {
  return {
    method: "GET",
    target: "/",
    fields: [],
    body: "none",
    connectTimeoutMs: 1,
    timeoutMs: 1,
    ...changes,
  };
}

describe("a request head", () => {
  test("has one line for each field, whatever the fields are made of, or is refused", () => {
    const anything = fc.string({ unit: "binary", maxLength: 8 });
    const nearly = fc.string({
      unit: fc.constantFrom("a", ":", " ", "\r", "\n", "\t", "\0", "\u010a", "\xe9"),
    });
    const part = fc.oneof(anything, nearly, fc.constantFrom("GET", "/", "x"));
    fc.assert(
      fc.property(part, part, fc.array(fc.tuple(part, part)), (method, target, pairs) => {
        const head = encodeHead(request({ method, target, fields: pairs.flat() }));
        if (head instanceof GatewayError) return;
        // As it goes on the wire: one byte a character.
        const lines = Buffer.from(head.text, "latin1").toString("latin1").split("\r\n");
        assert.deepEqual(lines.splice(-2), ["", ""]);
        assert.equal(lines.shift(), `${method} ${target} HTTP/1.1`);
        assert.deepEqual(
          lines,
          pairs.map(([name, value]) => `${name}: ${value}`),
        );
        for (const line of lines) assert.doesNotMatch(line, /[\r\n\0]/);
      }),
      { numRuns: 2000 },
    );
  });

  test("tells how long its body is and whether it waits for 100", () => {
    const sized = encodeHead(request({ fields: ["content-length", "03"], body: Buffer.from("abc") }));
    assert.ok(!(sized instanceof GatewayError));
    assert.deepEqual([sized.bodyBytes, sized.expectsContinue], [3, false]);
    const fields = ["Transfer-Encoding", "CHUNKED", "Expect", "100-Continue"];
    const streamed = encodeHead(request({ fields, body: "stream" }));
    assert.ok(!(streamed instanceof GatewayError));
    assert.deepEqual([streamed.bodyBytes, streamed.expectsContinue], [CHUNKED, true]);
  });

  test("is framed by fields of that very name", () => {
    const fields = ["Content_Length", "5", "Transfer_Encoding", "gzip", "Content-Length", "3"];
    const head = encodeHead(request({ fields, body: Buffer.from("abc") }));
    assert.ok(!(head instanceof GatewayError));
    assert.equal(head.bodyBytes, 3);
  });

  test("is refused with a reason for the log that holds nothing of the request", () => {
    const refused = encodeHead(request({ fields: ["X-Secret", "hunter2\r\n"] }));
    assert.ok(refused instanceof GatewayError);
    assert.doesNotMatch(refused.message, /hunter2/);
  });
});

describe("the last chunk", () => {
  test("carries trailers but those that must not come late", () => {
    assert.equal(encodeLastChunk([]), "0\r\n\r\n");
    assert.equal(
      encodeLastChunk(["X-A", "1", "Transfer-Encoding", "gzip", "content-LENGTH", "3", "Authorization", "x"]),
      "0\r\nX-A: 1\r\n\r\n",
    );
  });

  test("is refused where a trailer could end a line", () => {
    for (const trailer of [
      ["X-A", "1\r\nX-B: 2"],
      ["X-A\r\n\r\nGET", "1"],
      ["X-A", "\u010a"],
    ]) {
      assert.ok(encodeLastChunk(trailer) instanceof GatewayError);
    }
  });
});
