// How the bench compares contenders: within a round, and using the rounds that other work disturbed least.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Results } from "./results.ts";

/** Four rounds: the third and the fourth are disturbed, and the fourth favours `a`. */
function fourRounds(): Results {
  const results = new Results();
  const values = [
    { a: 20, b: 10, others: 0.01 },
    { a: 33, b: 11, others: 0.02 },
    { a: 90, b: 10, others: 0.3 },
    { a: 10, b: 90, others: 0.4 },
  ];
  for (const [round, { a, b, others }] of values.entries()) {
    results.add("s", "a", "cpuUs", a, round);
    results.add("s", "b", "cpuUs", b, round);
    results.addRound("s", round, { shareOfOthers: others, start: round < 2 ? 0 : 1 });
  }
  return results;
}

test("a figure is the median of all rounds, with the least and the most", () => {
  assert.deepEqual(fourRounds().summary("s", "a", "cpuUs"), { median: 26.5, min: 10, max: 90 });
});

test("ratios and differences are taken within a round, and from the quieter half", () => {
  const results = fourRounds();
  assert.deepEqual(results.ratio("s", "a", "b", "cpuUs"), { median: 2.5, min: 2, max: 3 });
  assert.deepEqual(results.difference("s", "a", "b", "cpuUs"), { median: 16, min: 10, max: 22 });
});

test("the quieter half of an odd number of rounds has the one in the middle", () => {
  const results = fourRounds();
  results.add("s", "a", "cpuUs", 1000, 4);
  results.add("s", "b", "cpuUs", 1, 4);
  results.addRound("s", 4, { shareOfOthers: 0.9, start: 1 });
  assert.deepEqual(results.ratio("s", "a", "b", "cpuUs"), { median: 3, min: 2, max: 9 });
});

test("a round in which either was not measured is left out", () => {
  const results = new Results();
  results.add("s", "a", "cpuUs", 20, 1);
  results.add("s", "b", "cpuUs", 10, 1);
  results.add("s", "a", "cpuUs", 90, 0);
  assert.deepEqual(results.ratio("s", "a", "b", "cpuUs"), { median: 2, min: 2, max: 2 });
  assert.equal(results.ratio("s", "a", "nobody", "cpuUs"), undefined);
});

test("what others took is that of the quieter half", () => {
  assert.equal(fourRounds().shareOfOthers("s"), 0.02);
  assert.equal(new Results().shareOfOthers("s"), 0);
});

test("starts of one contender are told apart by their medians", () => {
  assert.deepEqual(fourRounds().starts("s", "a", "cpuUs"), { median: 38.25, min: 26.5, max: 50 });
  const once = new Results();
  once.add("s", "a", "cpuUs", 1, 0);
  once.addRound("s", 0, { shareOfOthers: 0, start: 0 });
  assert.equal(once.starts("s", "a", "cpuUs"), undefined);
});

test("the ratio of quartiles takes no notice of disturbed rounds", () => {
  assert.equal(fourRounds().quartileRatio("s", "a", "b", "cpuUs"), 1);
  assert.equal(fourRounds().quartileRatio("s", "a", "nobody", "cpuUs"), undefined);
});
