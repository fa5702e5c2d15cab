import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { knownName } from "../../../src/plugin-api/field-names.ts";

const formOf = (name: string): object => ({
  name,
  lower: name.toLowerCase().replaceAll("_", "-"),
  underscored: name.includes("_"),
});

test("any name comes out in lower case with dashes, however often and after whatever others", () => {
  const name = fc.oneof(
    fc.string({ unit: "grapheme-ascii", maxLength: 80 }),
    fc.constantFrom("Host", "HOST", "host", "__proto__", "0", "constructor", "X-Request-Id", "x_request-Id"),
  );
  fc.assert(
    fc.property(fc.array(name, { maxLength: 40 }), (names) => {
      for (const each of [...names, ...names]) assert.deepEqual({ ...knownName(each) }, formOf(each));
    }),
    { numRuns: 500 },
  );
});

test("names that fall in one place are told apart", () => {
  // First, middle and last character and the length are alike.
  for (const name of ["Axxxbxxxc", "AyyyByyyC".replace("B", "b").replace("C", "c"), "Axxxbxxxc"]) {
    assert.deepEqual({ ...knownName(name) }, formOf(name));
  }
});
