// Spans in both encodings, decoded by protobufjs and JSON.parse.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { JsonEncoder } from "../../../../src/telemetry/trace/json.ts";
import { ProtobufEncoder } from "../../../../src/telemetry/trace/protobuf.ts";
import { type Span, spanKinds } from "../../../../src/telemetry/trace/span.ts";
import { ProtoReader } from "../../../../src/telemetry/otlp/wire.ts";
import { decodeSpans, partialSuccess } from "../../../support/collector.ts";

const resource = { attributes: ["service.name", "shop"], scopeName: "outrigger", scopeVersion: "1.0.0" };
const span: Span = {
  traceId: "0af7651916cd43dd8448eb211c80319c",
  spanId: "b7ad6b7169203331",
  parentId: "00f067aa0ba902b7",
  isParentRemote: true,
  traceState: "a=1",
  flags: 1,
  name: "GET /käse/*",
  kind: spanKinds.server,
  epochMs: 1_795_908_898_291,
  fromMs: 0.25,
  toMs: 1_012.000_001,
  attributes: ["text", "ü€😀", "whole", 2 ** 40, "part", 1.5, "yes", true, "below", -3],
  error: "upstream_timeout",
};

test("protobuf says what the span says", () => {
  const encoder = new ProtobufEncoder(resource);
  encoder.add(span);
  encoder.add({ ...span, parentId: undefined, traceState: undefined, error: undefined, flags: 0 });
  assert.equal(encoder.count, 2);
  const [first, second] = decodeSpans(encoder.take());
  assert.deepEqual(first, {
    traceId: span.traceId,
    spanId: span.spanId,
    parentId: span.parentId,
    traceState: "a=1",
    name: span.name,
    kind: "SERVER",
    startNanos: 1_795_908_898_291_250_000n,
    endNanos: 1_795_908_899_303_000_001n,
    flags: 0x3_01,
    attributes: { text: "ü€😀", whole: String(2 ** 40), part: 1.5, yes: true, below: -3 },
    error: "upstream_timeout",
    resource: { "service.name": "shop" },
  });
  assert.deepEqual([second?.parentId, second?.flags, second?.error], ["", 0, undefined]);
  assert.deepEqual([encoder.count, encoder.bytes], [0, 0]);
});

test("JSON says the same, ids in hex and long numbers as text", () => {
  const encoder = new JsonEncoder(resource);
  encoder.add(span);
  const written = JSON.parse(encoder.take().toString()) as {
    resourceSpans: [
      { resource: { attributes: unknown }; scopeSpans: [{ spans: [Record<string, unknown>] }] },
    ];
  };
  const [{ resource: from, scopeSpans }] = written.resourceSpans;
  assert.deepEqual(from.attributes, [{ key: "service.name", value: { stringValue: "shop" } }]);
  const [sent] = scopeSpans[0].spans;
  assert.equal(sent["traceId"], span.traceId);
  assert.equal(sent["startTimeUnixNano"], "1795908898291250000");
  assert.equal(sent["endTimeUnixNano"], "1795908899303000001");
  assert.deepEqual(sent["status"], { code: 2, message: "upstream_timeout" });
  assert.deepEqual((sent["attributes"] as unknown[])[1], {
    key: "whole",
    value: { intValue: String(2 ** 40) },
  });
});

describe("any span", () => {
  const any = fc.record({
    name: fc.string({ unit: "binary", maxLength: 300 }),
    epochMs: fc.integer({ min: 0, max: 4_102_444_800_000 }),
    fromMs: fc.double({ min: 0, max: 1e6, noNaN: true }),
    value: fc.oneof(fc.string({ unit: "binary", maxLength: 5_000 }), fc.maxSafeInteger(), fc.boolean()),
  });

  test("comes out of protobuf as it went in, to the nanosecond", () => {
    const encoder = new ProtobufEncoder(resource);
    fc.assert(
      fc.property(fc.array(any, { minLength: 1, maxLength: 20 }), (list) => {
        for (const { value, ...each } of list)
          encoder.add({ ...span, ...each, toMs: each.fromMs, attributes: ["value", value] });
        const read = decodeSpans(encoder.take());
        for (const [index, { name, epochMs, fromMs, value }] of list.entries()) {
          const nanos = BigInt(epochMs) * 1_000_000n + BigInt(Math.round(fromMs * 1e6));
          assert.equal(read[index]?.startNanos, nanos);
          assert.equal(read[index]?.name, Buffer.from(name).toString());
          const shown = typeof value === "string" ? Buffer.from(value).toString() : value;
          const got = read[index]?.attributes["value"];
          assert.equal(typeof shown === "number" ? Number(got) : got, shown);
        }
      }),
    );
  });
});

test("partial success is told, in both encodings", () => {
  const encoder = new ProtobufEncoder(resource);
  assert.deepEqual(encoder.rejected(partialSuccess(3, "too old")), { items: 3, message: "too old" });
  assert.equal(encoder.rejected(Buffer.alloc(0)), undefined);
  const json = new JsonEncoder(resource);
  const text = JSON.stringify({ partialSuccess: { rejectedSpans: "3", errorMessage: "too old" } });
  assert.deepEqual(json.rejected(Buffer.from(text)), { items: 3, message: "too old" });
  for (const body of ["", "{}", "null", "[", '{"partialSuccess":1}'])
    assert.equal(json.rejected(Buffer.from(body)), undefined, body);
});

test("a response that is no protobuf has nothing in it, whatever its bytes", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const reader = new ProtoReader(Buffer.from(bytes));
      const found = reader.bytes(1);
      assert.ok(found === undefined || found.length <= bytes.length);
      assert.ok((reader.varint(1) ?? 0) >= 0);
    }),
  );
});
