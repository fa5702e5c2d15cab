import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { knownName } from "../../../src/plugin-api/field-names.ts";

const formOf = (name: string): object => ({
  name,
  lower: name.toLowerCase().replaceAll("_", "-"),
  underscored: name.includes("_"),
  start: /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name) ? `\r\n${name}: ` : undefined,
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

test("names that fall in one place are told apart, and two of them both stay", () => {
  // The characters that are looked at and the length are alike.
  const names = ["Axxxbxcxd", "AyyybycYd".replace("Y", "y"), "Azzzbzczd"];
  for (const name of [...names, ...names]) assert.deepEqual({ ...knownName(name) }, formOf(name));
  const two = names.slice(0, 2);
  const first = two.map(knownName);
  for (let i = 0; i < 3; i += 1) {
    assert.deepEqual(
      two.map((name, j) => knownName(name) === first[j]),
      [true, true],
    );
  }
});
