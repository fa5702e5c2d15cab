import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { readContentLength } from "../../../src/http1/content-length.ts";

test("a Content-Length is one number of up to fifteen digits, which stay exact", () => {
  assert.equal(readContentLength("0"), 0);
  assert.equal(readContentLength("00300"), 300);
  assert.equal(readContentLength("999999999999999"), 999_999_999_999_999);
});

test("whatever is not one such number is none, never a part of it", () => {
  const wrong = [
    "",
    "1234567890123456",
    "-1",
    "+1",
    "1.0",
    "1e3",
    "0x10",
    " 1",
    "1 ",
    "1,1",
    "1\n",
    "\u0661",
    "\xb2",
  ];
  for (const text of wrong) assert.equal(readContentLength(text), undefined, JSON.stringify(text));
});

test("any text is read as the grammar 1*15DIGIT reads it", () => {
  const near = fc.stringMatching(/^[0-9+\-. ,x]{0,18}$/);
  fc.assert(
    fc.property(fc.oneof(near, fc.string(), fc.bigInt({ min: 0n }).map(String)), (text) => {
      const expected = /^[0-9]{1,15}$/.test(text) ? Number(text) : undefined;
      assert.equal(readContentLength(text), expected);
    }),
  );
});
