// Identities as field values: nothing can end the field, and no two users look alike.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { encodeValue, encodeWord } from "../../../plugins/transform/encode.ts";

const anyText = fc.oneof(
  fc.string(),
  fc.string({ unit: "binary" }),
  fc.array(fc.nat(0xffff)).map((units) => String.fromCharCode(...units)),
  fc.string({
    unit: fc.constantFrom(" ", "%", "0", "A", "\r", "\n", "\0", "é", "\ud83d", "\ude00"),
    maxLength: 6,
  }),
);

/** What a careful service does to get the value back; lone surrogates are beyond it. */
const decode = decodeURIComponent;

test("ordinary user ids go through as they are", () => {
  for (const id of [
    "u1",
    "user@example.com",
    "auth0|5f7c8ec7c33c6c004bbafe82",
    "John Smith",
    "a:b/c,d;e=f",
  ]) {
    assert.equal(encodeValue(id), id);
  }
});

test("line ends, NUL, other controls and bytes beyond ASCII are percent-encoded", () => {
  assert.equal(encodeValue("u1\r\nX-Admin: 1"), "u1%0D%0AX-Admin: 1");
  assert.equal(encodeValue("a\0b"), "a%00b");
  assert.equal(encodeValue("José Ω 😀"), "Jos%C3%A9 %CE%A9 %F0%9F%98%80");
  assert.equal(encodeValue("50%"), "50%25");
  assert.equal(encodeValue(" u1 "), "%20u1%20");
  assert.equal(encodeWord("read all"), "read%20all");
});

test("any value becomes printable ASCII that a receiver does not trim, and reads back as itself", () => {
  fc.assert(
    fc.property(anyText, (text) => {
      const value = encodeValue(text);
      assert.match(value, /^[\x20-\x7e]*$/);
      assert.equal(value, value.trim());
      assert.doesNotMatch(encodeWord(text), / /);
      if (text.isWellFormed()) assert.deepEqual([decode(value), decode(encodeWord(text))], [text, text]);
    }),
    { numRuns: 2000 },
  );
});

test("two different users never get the same value", () => {
  const unit = fc.constantFrom("%", "0", "A", "D", " ", "\n", "\ud800", "\ud801", "\udc00", "\ufffd");
  const id = fc.array(unit, { maxLength: 4 }).map((units) => units.join(""));
  fc.assert(
    fc.property(id, id, (one, other) => {
      assert.equal(encodeValue(one) === encodeValue(other), one === other);
      assert.equal(encodeWord(one) === encodeWord(other), one === other);
    }),
    { numRuns: 20_000 },
  );
});
