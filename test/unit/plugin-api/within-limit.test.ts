// A wait with a time limit.
import assert from "node:assert/strict";
import { test } from "node:test";
import { OverLimit, untilLimit, withinLimit } from "../../../src/plugin-api/within-limit.ts";
import { textOf } from "../../../src/plugin-api/error-text.ts";
import { pairsOf } from "../../../src/plugin-api/pairs.ts";

test("work in time settles the wait as itself", async () => {
  assert.equal(await withinLimit(Promise.resolve(7), 60_000, "late"), 7);
  await assert.rejects(withinLimit(Promise.reject(new Error("its own")), 60_000, "late"), /its own/);
});

test("work over the limit rejects with the text, and what it comes to is handed over once", async () => {
  const { promise, resolve } = Promise.withResolvers<number>();
  const late: number[] = [];
  await assert.rejects(
    withinLimit(promise, 1, "took too long", (result) => late.push(result)),
    (error) => error instanceof OverLimit && error.message === "took too long",
  );
  assert.deepEqual(late, []);
  resolve(7);
  await promise;
  assert.deepEqual(late, [7]);
});

test("a late failure is nobody's", async () => {
  const { promise, reject } = Promise.withResolvers<number>();
  await assert.rejects(withinLimit(promise, 1, "late"), OverLimit);
  reject(new Error("unheard"));
  await new Promise(setImmediate);
});

test("an answer that came in while our own process stalled counts", async () => {
  const { promise, resolve } = Promise.withResolvers<string>();
  const waiting = withinLimit(promise, 5, "late");
  const end = performance.now() + 30;
  while (performance.now() < end);
  setImmediate(() => resolve("read from the socket"));
  assert.equal(await waiting, "read from the socket");
});

test("work that one can go on without is waited for until the limit", async () => {
  assert.equal(await untilLimit(Promise.resolve(7), 60_000), true);
  const own = new OverLimit("its own");
  await assert.rejects(untilLimit(Promise.reject(own), 60_000), own);
  const { promise, reject } = Promise.withResolvers<number>();
  assert.equal(await untilLimit(promise, 1), false);
  reject(new Error("unheard"));
  await new Promise(setImmediate);
});

test("whatever was thrown has a text", () => {
  const throwing = {
    toString() {
      throw new Error("no");
    },
  };
  for (const [thrown, text] of [
    [new TypeError("wrong"), "wrong"],
    ["text", "text"],
    [undefined, "undefined"],
    [Symbol("s"), "Symbol(s)"],
    [Object.create(null), "an error without text"],
    [throwing, "an error without text"],
  ] as const) {
    assert.equal(textOf(thrown), text);
  }
});

test("pairs of a flat list, without a name that has no value", () => {
  assert.deepEqual(pairsOf(["a", "1", "b", "2", "c"]), [
    ["a", "1"],
    ["b", "2"],
  ]);
  assert.deepEqual(pairsOf([]), []);
});
