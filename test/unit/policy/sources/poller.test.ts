// The polling loop: one read at a time, bursts become one read, no change is missed, and nothing runs after the stop.
import assert from "node:assert/strict";
import { type TestContext, describe, test } from "node:test";
import { Poller } from "../../../../src/policy/sources/poller.ts";

interface Loop {
  readonly rereader: Poller;
  /** Reads so far. */
  readonly reads: () => number;
  /** Ends the read that is under way. */
  readonly finish: (worked?: boolean) => Promise<void>;
}

function createLoop(t: TestContext): Loop {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  // The mocked timers keep their own time; the loop's clock has to go with them.
  t.mock.method(performance, "now", () => 0);
  let reads = 0;
  let end: ((worked: boolean) => void) | undefined;
  const rereader = new Poller({
    read: () => {
      reads += 1;
      return new Promise((resolve) => (end = resolve));
    },
    settleMs: 10,
    pollMs: 1000,
    retryMs: 100,
    random: () => 0.5,
  });
  return {
    rereader,
    reads: () => reads,
    async finish(worked = true) {
      end?.(worked);
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

describe("the reading loop", () => {
  test("makes one read of a burst, a settling time after its first notice", (t) => {
    const { rereader, reads } = createLoop(t);
    for (let burst = 0; burst < 100; burst++) rereader.trigger();
    t.mock.timers.tick(9);
    assert.equal(reads(), 0);
    rereader.trigger();
    t.mock.timers.tick(1);
    assert.equal(reads(), 1);
  });

  test("reads exactly once more when something changes during a read", async (t) => {
    const { rereader, reads, finish } = createLoop(t);
    rereader.readNow();
    t.mock.timers.tick(0);
    for (let burst = 0; burst < 5; burst++) rereader.trigger();
    t.mock.timers.tick(500);
    assert.equal(reads(), 1, "never two at once");
    await finish();
    t.mock.timers.tick(10);
    assert.equal(reads(), 2);
    await finish();
    t.mock.timers.tick(999);
    assert.equal(reads(), 2);
    t.mock.timers.tick(1);
    assert.equal(reads(), 3, "and then the poll");
  });

  test("tries again sooner after a read that failed", async (t) => {
    const { rereader, reads, finish } = createLoop(t);
    rereader.readNow();
    t.mock.timers.tick(0);
    await finish(false);
    t.mock.timers.tick(100);
    assert.equal(reads(), 2);
  });

  test("stops for good, after the read that is under way", async (t) => {
    const { rereader, reads, finish } = createLoop(t);
    rereader.readNow();
    t.mock.timers.tick(0);
    rereader.trigger();
    let stopped = false;
    const stop = rereader.stop().then(() => (stopped = true));
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(stopped, false);
    await finish();
    await stop;
    rereader.trigger();
    rereader.readNow();
    t.mock.timers.tick(10_000);
    assert.equal(reads(), 1);
  });
});
