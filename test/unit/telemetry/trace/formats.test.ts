// Parents in formats other than Trace Context.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Fields } from "../../../../src/plugin-api/fields.ts";
import { extractorOf, propagators } from "../../../../src/telemetry/trace/formats.ts";

const trace = "80f198ee56343ba864fe8b2a57d3eff7";
const half = "64fe8b2a57d3eff7";
const span = "e457b5a2e4d86bd1";
const all = extractorOf(propagators);
const found = (...flat: string[]) => all(new Fields(flat));

test("takes b3 of one field, with 64 bits of a trace or 128", () => {
  assert.deepEqual(found("b3", `${trace}-${span}-1`), { traceId: trace, spanId: span, flags: 1 });
  assert.deepEqual(found("B3", `${half}-${span}-d-05e3ac9a4f6e3b90`), {
    traceId: "0".repeat(16) + half,
    spanId: span,
    flags: 1,
  });
  assert.equal(found("b3", `${trace}-${span}-0`)?.flags, 0);
  for (const text of ["0", "", `${trace}-${span}-2`, `${trace}-${"0".repeat(16)}-1`])
    assert.equal(found("b3", text), undefined, text);
});

test("takes b3 of several fields", () => {
  const ids = ["X-B3-TraceId", trace, "X-B3-SpanId", span];
  assert.deepEqual(found(...ids, "X-B3-Sampled", "1"), { traceId: trace, spanId: span, flags: 1 });
  assert.equal(found(...ids)?.flags, 0);
  assert.equal(found(...ids, "X-B3-Flags", "1")?.flags, 1);
  assert.equal(found("X-B3-TraceId", trace), undefined);
});

test("takes uber-trace-id, short and escaped", () => {
  assert.deepEqual(found("uber-trace-id", `${trace}:${span}:0:1`), {
    traceId: trace,
    spanId: span,
    flags: 1,
  });
  assert.deepEqual(found("uber-trace-id", "abc%3A12%3A0%3A0"), {
    traceId: "abc".padStart(32, "0"),
    spanId: "12".padStart(16, "0"),
    flags: 0,
  });
  assert.equal(found("uber-trace-id", "0:0:0:1"), undefined);
});

test("takes what is named alone, the first first", () => {
  const both = ["b3", `${trace}-${span}-1`, "traceparent", `00-${"a".repeat(32)}-${span}-00`];
  assert.equal(extractorOf(["tracecontext"])(new Fields(both))?.traceId, "a".repeat(32));
  assert.equal(extractorOf(["b3", "tracecontext"])(new Fields(both))?.traceId, trace);
  assert.equal(extractorOf([])(new Fields(both)), undefined);
});
