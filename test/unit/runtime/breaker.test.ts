import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Breaker } from "../../../src/runtime/breaker.ts";

const fail = (breaker: Breaker, times: number, now = 0): void => {
  for (let i = 0; i < times; i += 1) breaker.failed(now);
};

describe("the breaker", () => {
  it("opens after five failures in a row, not after five in all", () => {
    const breaker = new Breaker();
    fail(breaker, 4);
    breaker.succeeded();
    fail(breaker, 4);
    assert.equal(breaker.allows(0), true);
    fail(breaker, 1);
    assert.equal(breaker.allows(0), false);
    assert.equal(breaker.open, true);
  });

  it("lets one probe through after its pause, and closes when that succeeds", () => {
    const breaker = new Breaker();
    fail(breaker, 5);
    assert.equal(breaker.allows(999), false);
    assert.equal(breaker.allows(1_000), true);
    assert.equal(breaker.allows(1_000), false);
    breaker.succeeded();
    assert.equal(breaker.allows(1_000), true);
  });

  it("waits twice as long after each failed probe, up to half a minute", () => {
    const breaker = new Breaker();
    fail(breaker, 5);
    let now = 0;
    for (const pause of [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]) {
      assert.equal(breaker.allows(now + pause - 1), false);
      now += pause;
      assert.equal(breaker.allows(now), true);
      breaker.failed(now);
    }
  });

  it("a probe that was withdrawn leaves the place to another", () => {
    const breaker = new Breaker();
    fail(breaker, 5);
    assert.equal(breaker.allows(1_000), true);
    breaker.withdrawn();
    assert.equal(breaker.allows(1_000), true);
  });

  it("tells once when it opens, and when it closes how many it refused", () => {
    const told: unknown[] = [];
    const breaker = new Breaker({
      onOpen: () => told.push("open"),
      onClose: (refused) => told.push(refused),
      onRefused: () => told.push("refused"),
    });
    fail(breaker, 5);
    for (const now of [0, 999, 1_000]) breaker.allows(now);
    breaker.failed(1_000);
    breaker.allows(1_001);
    breaker.allows(3_000);
    breaker.succeeded();
    breaker.succeeded();
    assert.deepEqual(told, ["open", "refused", "refused", "refused", 3]);
  });
});
