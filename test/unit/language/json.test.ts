import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { deepestNesting, parseJson } from "../../../src/language/json.ts";

const arrays = (levels: number): string => "[".repeat(levels) + "]".repeat(levels);

describe("JSON of others", () => {
  it("is read as JSON.parse reads it", () => {
    fc.assert(
      fc.property(fc.json({ depthSize: "small", maxDepth: 8 }), (text) =>
        assert.deepEqual(parseJson(text), JSON.parse(text)),
      ),
    );
  });

  it("is refused from one level too many on, however it is nested and whatever follows", () => {
    assert.doesNotThrow(() => parseJson(arrays(deepestNesting)));
    for (const text of [
      arrays(deepestNesting + 1),
      '{"a":'.repeat(deepestNesting + 1) + "1" + "}".repeat(deepestNesting + 1),
      '[{"a":'.repeat(deepestNesting / 2) + "[]" + "}]".repeat(deepestNesting / 2),
      arrays(100_000),
      "[".repeat(1_000_000),
    ])
      assert.throws(() => parseJson(text), /^SyntaxError: nested deeper than 32 levels$/);
  });

  it("brackets within strings, and those beside each other, are no levels", () => {
    const text = JSON.stringify([
      "[".repeat(100),
      '"[[\\',
      "\\".repeat(7),
      ...Array.from({ length: 100 }, () => [{}]),
    ]);
    assert.deepEqual(parseJson(text), JSON.parse(text));
  });

  it("what is not JSON is said without a word of it", () => {
    for (const text of ["", "{", '"open', '"\\', "secret", '{"a":secret}', "]]]]"])
      assert.throws(() => parseJson(text), /^SyntaxError: not JSON$/);
  });
});
