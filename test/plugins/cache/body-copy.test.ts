// The copy of a body: complete or nothing, within a limit for each and a limit for all.
import assert from "node:assert/strict";
import { test } from "node:test";
import { announcedBytes, BodyCopy, type CopyBudget } from "../../../plugins/cache/store/body-copy.ts";

function copying(maxBytes: number, announced?: number, budget: CopyBudget = { bytes: 0, maxBytes: 1_000 }) {
  const events: string[] = [];
  const copy = new BodyCopy(budget, maxBytes, announced, {
    complete: (body) => events.push(`complete ${body.toString()}`),
    abandoned: () => events.push("abandoned"),
    aborted: () => events.push("aborted"),
  });
  const take = (...parts: string[]): void => parts.forEach((part) => copy.chunk(Buffer.from(part)));
  return { copy, take, events, budget };
}

test("chunks become one body in memory of its own", () => {
  const { copy, take, events, budget } = copying(100);
  take("ab", "", "cd");
  copy.end();
  assert.deepEqual([events, budget.bytes], [["complete abcd"], 0]);
});

test("more or fewer bytes than announced are no complete body", () => {
  for (const announced of [3, 5]) {
    const { copy, take, events, budget } = copying(100, announced);
    take("ab", "cd");
    copy.end();
    assert.deepEqual([events, budget.bytes], [["abandoned"], 0], String(announced));
  }
});

test("a body above the limit is given up once, and its bytes with it", () => {
  const { copy, take, events, budget } = copying(3);
  take("ab", "cd", "ef");
  copy.end();
  copy.abort();
  assert.deepEqual([events, budget.bytes], [["abandoned"], 0]);
});

test("all copies together stay within the budget", () => {
  const budget: CopyBudget = { bytes: 0, maxBytes: 5 };
  const [one, other] = [copying(100, undefined, budget), copying(100, undefined, budget)];
  one.take("abc");
  other.take("def");
  assert.deepEqual([one.events, other.events, budget.bytes], [[], ["abandoned"], 3]);
  one.copy.end();
  assert.deepEqual([one.events, budget.bytes], [["complete abc"], 0]);
});

test("an abort before the end leaves nothing", () => {
  const { copy, take, events, budget } = copying(100);
  take("ab");
  copy.abort();
  assert.deepEqual([events, budget.bytes], [["aborted"], 0]);
});

test("Content-Length is a number or nothing", () => {
  assert.deepEqual(["5", "", "5, 5", "-1", "abc", undefined].map(announcedBytes), [
    5,
    ...Array.from({ length: 5 }, () => undefined),
  ]);
});
