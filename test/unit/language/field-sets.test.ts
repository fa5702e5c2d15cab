// Lists of fields that have a meaning for proxies.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fieldKey } from "../../../src/language/field-name.ts";
import * as sets from "../../../src/language/field-sets.ts";

test("all names are as fields are looked up, or they would match none", () => {
  for (const [list, names] of Object.entries(sets)) {
    if (typeof names === "function") continue;
    const listed = [...names];
    assert.ok(listed.length > 0, list);
    assert.deepEqual(
      listed,
      listed.map((name) => fieldKey(name)),
      list,
    );
    assert.equal(new Set(listed).size, listed.length, list);
  }
});

test("a compiled test says what a set says, for names of any length", () => {
  const names = ["te", "connection", "a".repeat(34), "b".repeat(66)];
  const isNamed = sets.compileNameTest(names);
  for (const name of names) assert.ok(isNamed(name), name);
  for (const name of ["", "a".repeat(2), "c".repeat(34), "connectiom", "TE"]) assert.ok(!isNamed(name), name);
});
