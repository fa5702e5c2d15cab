// Which traces are recorded.
import assert from "node:assert/strict";
import { test } from "node:test";
import { newTraceId } from "../../../../src/telemetry/trace/ids.ts";
import { isWithinRatio, Sampler } from "../../../../src/telemetry/trace/sampler.ts";

const parent = (flags: number) => ({ traceId: "a".repeat(32), spanId: "b".repeat(16), flags });

test("a share is about that share, and whatever a smaller one takes a larger one takes too", () => {
  const ids = Array.from({ length: 20_000 }, newTraceId);
  const tenth = ids.filter((id) => isWithinRatio(id, 0.1));
  assert.ok(Math.abs(tenth.length - 2_000) < 250, String(tenth.length));
  assert.ok(tenth.every((id) => isWithinRatio(id, 0.2)));
  assert.ok(ids.every((id) => isWithinRatio(id, 1) && !isWithinRatio(id, 0)));
});

test("a caller's decision counts where the sampler is by parent", () => {
  const byParent = new Sampler({ byParent: true, ratio: 0 });
  assert.equal(byParent.samples("a".repeat(32), parent(1), undefined, 0), true);
  assert.equal(byParent.samples("a".repeat(32), undefined, undefined, 0), false);
  const byRatio = new Sampler({ byParent: false, ratio: 0 });
  assert.equal(byRatio.samples("a".repeat(32), parent(1), undefined, 0), false);
});

test("rules of a route count before the settings, and bound how many there are a second", () => {
  const sampler = new Sampler({ byParent: true, ratio: 0 });
  const rules = { sampleRatio: 1, maxPerSecond: 2 };
  const taken = [10, 20, 30, 999, 1_000].map((ms) => sampler.samples("a".repeat(32), undefined, rules, ms));
  assert.deepEqual(taken, [true, true, false, false, true]);
  assert.equal(sampler.samples("a".repeat(32), parent(1), { maxPerSecond: 0 }, 5_000), false);
});
