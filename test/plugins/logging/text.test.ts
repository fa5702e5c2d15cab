// The text of access-log lines: one line of valid JSON, whatever a client sent.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { createIsoTime, decimals, jsonText } from "../../../plugins/logging/text.ts";

// As a field value may hold any byte and a token's claim any UTF-16 unit.
const anyText = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.array(fc.nat(0xffff)).map((units) => String.fromCharCode(...units)),
  fc.string({
    unit: fc.constantFrom('"', "\\", "\n", "\r", "\0", "\u001b", "\u0085", "\u009b", "\u2028", "é", "\ud800"),
  }),
);

test("any text becomes one line of JSON that reads back as the same text", () => {
  fc.assert(
    fc.property(anyText, (text) => {
      const json = jsonText(text);
      // Line ends of any reader, and controls of any terminal.
      // oxlint-disable-next-line no-control-regex -- these are what must not be there
      assert.doesNotMatch(json, /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/);
      assert.equal(JSON.parse(json), text);
    }),
    { numRuns: 2000 },
  );
});

test("a text of a client cannot make the line longer than its bound", () => {
  const json = jsonText("\u0001".repeat(100_000));
  assert.ok(json.length < 13_000, `${json.length} characters`);
  assert.equal((JSON.parse(json) as string).at(-1), "…");
});

test("time stamps are those of Date.toISOString, forwards, backwards and within a second", () => {
  const isoTime = createIsoTime();
  fc.assert(
    fc.property(
      fc.array(fc.nat({ max: 4_102_444_800_000 }), { maxLength: 5 }),
      fc.nat({ max: 999 }),
      (times, step) => {
        for (const time of times) {
          assert.equal(isoTime(time), new Date(time).toISOString());
          assert.equal(isoTime(time + step), new Date(time + step).toISOString());
        }
      },
    ),
  );
});

test("numbers are rounded to three decimals, whatever their size", () => {
  const milliseconds = fc.oneof(fc.double({ min: 0, max: 100_000, noNaN: true }), fc.integer());
  fc.assert(
    fc.property(milliseconds, (ms) => {
      const text = decimals(ms);
      assert.equal(JSON.parse(text), Math.round(ms * 1000) / 1000);
      assert.ok(text.length < 16, text);
    }),
  );
});
