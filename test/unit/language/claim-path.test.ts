import assert from "node:assert/strict";
import { test } from "node:test";
import { claimAt, claimText } from "../../../src/language/claim-path.ts";

const claims = { org: { id: 7, "a.b": 1 }, "org.name": "x", list: ["a"], none: null, empty: "" };

test("a claim is found by its own name, dots and all, or else name by name", () => {
  assert.equal(claimAt(claims, "org.id"), 7);
  assert.equal(claimAt(claims, "org.name"), "x");
  assert.deepEqual(claimAt(claims, "list"), ["a"]);
  for (const path of ["org.x", "org.id.x", "x", "constructor", "__proto__", "org.constructor"]) {
    assert.equal(claimAt(claims, path), undefined, path);
  }
});

test("its text is equal for equal claims alone, and nothing stands for an absent one", () => {
  assert.notEqual(claimText({ a: 7 }, "a"), claimText({ a: "7" }, "a"));
  assert.notEqual(claimText({ a: ["b"] }, "a"), claimText({ a: '["b"]' }, "a"));
  for (const path of ["x", "none", "empty"]) assert.equal(claimText(claims, path), undefined, path);
  assert.equal(claimText(undefined, "a"), undefined);
});
