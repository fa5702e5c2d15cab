// When the breaker opens: for a silent Redis, but not if this process was kept from reading its answers.
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { type CircuitBreaker, createCircuitBreaker } from "../../../src/redis/circuit-breaker.ts";

function breakerAt(t: TestContext): { breaker: CircuitBreaker; at: (ms: number) => void } {
  let now = 0;
  t.mock.method(performance, "now", () => now);
  const breaker = createCircuitBreaker({
    failures: 5,
    overMs: 100,
    silenceMs: 500,
    probeMs: 500,
    probe: () => Promise.reject(new Error("no")),
    onChange: () => {},
  });
  t.after(() => breaker.close());
  return { breaker, at: (ms) => (now = ms) };
}

test("opens once Redis has been silent for long enough, however many calls that is", (t) => {
  const { breaker, at } = breakerAt(t);
  for (let ms = 250; ms < 500; ms += 10) {
    at(ms);
    breaker.unanswered("no answer in time", 1);
  }
  assert.equal(breaker.open, false);
  at(500);
  breaker.unanswered("no answer in time", 1);
  assert.equal(breaker.open, true);
});

test("stays closed while anything is answered", (t) => {
  const { breaker, at } = breakerAt(t);
  for (let ms = 0; ms < 5_000; ms += 40) {
    at(ms);
    if (ms % 400 === 0) breaker.succeeded();
    else breaker.unanswered("no answer in time", 1);
  }
  assert.equal(breaker.open, false);
});

test("while our own timers are late it stays closed for twice as long, and no longer", (t) => {
  const { breaker, at } = breakerAt(t);
  for (let ms = 0; ms < 1_000; ms += 20) {
    at(ms);
    breaker.unanswered("no answer in time", ms % 100 === 0 ? 60 : 5);
  }
  assert.equal(breaker.open, false);
  at(1_000);
  breaker.unanswered("no answer in time", 60);
  assert.equal(breaker.open, true);
});

test("opens without silence when Redis answers that it serves nobody", (t) => {
  const { breaker, at } = breakerAt(t);
  for (let ms = 0; ms <= 120; ms += 30) {
    at(ms);
    breaker.failed("LOADING");
  }
  assert.equal(breaker.open, true);
});
