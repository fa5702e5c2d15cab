import assert from "node:assert/strict";
import { test } from "node:test";
import { makeGlobalsPlain } from "../../../src/v8/plain-globals.ts";

test("globals that Node makes by getters become values, and stay what they are", () => {
  const before = { performance, process, Buffer };
  makeGlobalsPlain();
  assert.deepEqual({ performance, process, Buffer }, before);
  for (const name of Object.keys(before)) {
    const { value: _value, ...found } = Object.getOwnPropertyDescriptor(globalThis, name) ?? {};
    assert.deepEqual(found, { writable: true, enumerable: false, configurable: true });
  }
});
