// How often ongoing exchanges are rechecked, on a clock that does not move by itself.
import assert from "node:assert/strict";
import { mock, test } from "node:test";
import type { CarriedExchange } from "../../../src/exchange/context.ts";
import { Rechecks } from "../../../src/exchange/rechecks.ts";
import type { RoutedPolicy } from "../../../src/routing/routed-policy.ts";
import { TestClock } from "../../../src/testing/clock.ts";
import { IntrusiveSet } from "../../../src/v8/intrusive-set.ts";

const silent = { debug() {}, info() {}, warn() {}, error() {} };

/** An exchange whose hooks are at work, which is seen and left alone. */
class Seen {
  setIndex = -1;
  readonly live = { startedMono: 0, busy: true };
  readonly policy = {};
  looks = 0;

  tellMessages(): void {
    this.looks += 1;
  }
}

test("each has one turn a round, whether they are many or one", () => {
  for (const count of [1, 9, 10, 25]) {
    const exchanges = new IntrusiveSet<CarriedExchange>();
    const all = Array.from({ length: count }, () => new Seen());
    for (const each of all) exchanges.add(each as unknown as CarriedExchange);
    mock.timers.enable({ apis: ["setInterval"] });
    const rechecks = new Rechecks({
      everyMs: 1_000,
      exchanges,
      clock: new TestClock(),
      logger: silent,
      policy: () => ({}) as RoutedPolicy,
      read: () => assert.fail(),
    });
    mock.timers.tick(10_900);
    rechecks.stop();
    mock.timers.reset();
    for (const { looks } of all) assert.equal(looks, 10, `of ${count}`);
  }
});
