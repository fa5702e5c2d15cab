// The time that the scheduler gave this process, on clocks of these tests.
import assert from "node:assert/strict";
import { test } from "node:test";
import { OwnTime } from "../../../src/policy-tests/own-time.ts";
import { OverLimit } from "../../../src/plugin-api/within-limit.ts";

test("work and idle waits count, the queue for CPU does not, and the clock on the wall has the last word", () => {
  const now = { cpuMs: 50, idleMs: 1_000, wallMs: 2_000 };
  const time = new OwnTime(1_000, 15_000, () => ({ ...now }));
  const pass = (by: Partial<typeof now>): number => {
    for (const [name, ms] of Object.entries(by)) now[name as keyof typeof now] += ms;
    return time.leftMs;
  };
  assert.equal(pass({ cpuMs: 100, wallMs: 100 }), 900);
  assert.equal(pass({ idleMs: 200, wallMs: 200 }), 700);
  assert.equal(pass({ wallMs: 10_000 }), 700);
  assert.equal(pass({ wallMs: 4_500 }), 200);
  assert.equal(pass({ wallMs: 1_000 }), 0);
});

test("a wait ends when the time is over, not when its first guess is", async () => {
  let cpuMs = 0;
  const time = new OwnTime(20, 60_000, () => ({ cpuMs: cpuMs++, idleMs: 0, wallMs: performance.now() }));
  await assert.rejects(time.until(new Promise(() => {})), OverLimit);
  assert.ok(cpuMs >= 20, String(cpuMs));
  assert.equal(await new OwnTime(1_000, 1_000).until(Promise.resolve(7)), 7);
  await assert.rejects(new OwnTime(1_000, 1_000).until(Promise.reject(new Error("its own"))), /its own/);
});
