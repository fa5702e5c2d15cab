import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRequestHead } from "../../../../src/http1/request-head.ts";
import { MemoryStream } from "../../../../src/policy-tests/memory-stream.ts";
import { withoutGrpcWeb } from "../../../../src/server/grpc-web/inbound.ts";

const client = { address: "192.0.2.1", peer: "192.0.2.1", viaTrustedProxy: false };

test("a call of gRPC-Web is translated, and what it came as is known to whoever chose its policy by that", () => {
  const stream = new MemoryStream({
    method: "POST",
    target: "/shop.Orders/Place",
    fields: ["Host", "a", "Content-Type", "application/grpc-web+proto", "Content-Length", "5"],
  });
  const head = parseRequestHead(stream, () => false, { cookies: undefined, keepsUnderscores: false });
  const inbound = withoutGrpcWeb({ stream, head, client }, "h2c");
  assert.notEqual(inbound.stream, stream);
  assert.equal(inbound.received, stream);
  assert.equal(inbound.head.fields.get("content-type"), "application/grpc+proto");
});

test("every other request stays as it came", () => {
  const stream = new MemoryStream({ method: "GET", target: "/", fields: ["Host", "a"] });
  const inbound = {
    stream,
    head: parseRequestHead(stream, () => false, { cookies: undefined, keepsUnderscores: false }),
    client,
  };
  assert.equal(withoutGrpcWeb(inbound, "h2c"), inbound);
});
