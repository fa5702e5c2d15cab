// Trace Context: which values are accepted as a parent, and what happens to the tracestate list.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { parseTraceparent, parseTracestate, traceparent } from "../../../../src/telemetry/trace/context.ts";

const trace = "12345678901234567890123456789012";
const span = "1234567890123456";

describe("traceparent", () => {
  test("gives trace, span and the flags that are known", () => {
    assert.deepEqual(parseTraceparent(`00-${trace}-${span}-01`), { traceId: trace, spanId: span, flags: 1 });
    assert.equal(parseTraceparent(`00-${trace}-${span}-02`)?.flags, 2);
    assert.equal(parseTraceparent(`00-${trace}-${span}-ff`)?.flags, 3);
    assert.equal(parseTraceparent(`cc-${trace}-${span}-01-what-comes-later`)?.flags, 1);
  });

  for (const value of [
    "",
    `00-${trace}-${span}-01.`,
    `00-${trace}-${span}-01-more`,
    `cc-${trace}-${span}-01.more`,
    `ff-${trace}-${span}-01`,
    `00-${"0".repeat(32)}-${span}-01`,
    `00-${trace}-${"0".repeat(16)}-01`,
    `00-${trace.slice(1)}A-${span}-01`,
    `00-${trace}1-${span}-01`,
    `00-${trace}-${span}-1`,
    `00-${trace}-${span}-01, 00-${trace}-${span}-01`,
  ]) {
    test(`is none: ${JSON.stringify(value)}`, () => assert.equal(parseTraceparent(value), undefined));
  }

  test("of any text is none, or one that is written as it was read", () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 80 }), (text) => {
        const parent = parseTraceparent(text);
        if (parent === undefined) return;
        const { traceId, spanId, flags } = parent;
        assert.deepEqual(parseTraceparent(traceparent(traceId, spanId, flags)), parent);
      }),
    );
  });
});

describe("tracestate", () => {
  test("keeps members in their order, without blanks around them and empty ones", () => {
    assert.equal(parseTracestate("foo=1 \t , bar@x=2,,"), "foo=1,bar@x=2");
    assert.equal(parseTracestate("1foo@bar=1,0=2"), "1foo@bar=1,0=2");
    assert.equal(parseTracestate(" , "), undefined);
  });

  test("is dropped as a whole for one wrong member, a key that is there twice, or more than 32", () => {
    for (const text of [
      "foo =1",
      "FOO=1",
      "foo.bar=1",
      "@foo=1,bar=2",
      "foo=bar=baz",
      "foo=,bar=3",
      "foo",
      "a=1,b=1,a=2",
      "a@@b=1",
    ])
      assert.equal(parseTracestate(text), undefined, text);
    assert.equal(parseTracestate(`${"z".repeat(257)}=1`), undefined);
    assert.ok(parseTracestate(`${"z".repeat(256)}=1`));
    const members = (count: number): string => Array.from({ length: count }, (_, i) => `k${i}=1`).join();
    assert.ok(parseTracestate(members(32)));
    assert.equal(parseTracestate(members(33)), undefined);
  });
});
