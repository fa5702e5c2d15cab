// Vary is merged, never replaced.
import assert from "node:assert/strict";
import { test } from "node:test";
import { addVary } from "../../../plugins/cors/vary.ts";
import { Fields } from "../../../src/plugin-api/contract.ts";

function varyAfter(...lines: string[]): string[] {
  const fields = new Fields(lines.flatMap((line) => ["vary", line]));
  addVary(fields, "Origin");
  return fields.getAll("vary");
}

test("Origin is added behind what is there, whatever the number of lines", () => {
  assert.deepEqual(varyAfter(), ["Origin"]);
  assert.deepEqual(varyAfter("Accept-Encoding"), ["Accept-Encoding, Origin"]);
  assert.deepEqual(varyAfter("Accept", "Cookie"), ["Accept, Cookie, Origin"]);
  assert.deepEqual(varyAfter("X-Origin"), ["X-Origin, Origin"]);
});

test("a Vary that covers it already is left as it is", () => {
  assert.deepEqual(varyAfter("accept,ORIGIN"), ["accept,ORIGIN"]);
  assert.deepEqual(varyAfter("*"), ["*"]);
});
