import assert from "node:assert/strict";
import { test } from "node:test";
import { CommonBytes } from "../../../src/admin/common-bytes.ts";

function holders(common: CommonBytes, names: readonly string[]) {
  const gone: string[] = [];
  const held = names.map((name) => common.hold(() => gone.push(name)));
  return { held, gone };
}

test("past the bound the longest is given up, whoever took the last byte", () => {
  const { held, gone } = holders(new CommonBytes(100), ["a", "b", "c"]);
  held[0]?.take(50);
  held[1]?.take(40);
  held[2]?.take(10);
  assert.deepEqual(gone, []);
  held[2]?.take(1);
  assert.deepEqual(gone, ["a"]);
  held[1]?.take(60);
  assert.deepEqual(gone, ["a", "b"], "and itself when it is");
});

test("who is given up, or has let go, takes and frees nothing more", () => {
  const { held, gone } = holders(new CommonBytes(100), ["a", "b"]);
  held[0]?.take(101);
  assert.deepEqual(gone, ["a"]);
  held[0]?.take(1_000);
  held[0]?.release();
  held[1]?.take(100);
  assert.deepEqual(gone, ["a"]);
  held[1]?.release();
  held[1]?.release();
  const [third] = holders(new CommonBytes(1), ["c"]).held;
  third?.take(1);
});
