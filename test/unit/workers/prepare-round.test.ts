// A round on a policy: all live workers must be able to set it up, and there must be at least one.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { PolicyRefused } from "../../../src/policy/document/problems.ts";
import type { ToWorker } from "../../../src/workers/messages.ts";
import { PrepareRound, type Participant } from "../../../src/workers/prepare-round.ts";

class Worker implements Participant {
  preparing = 0;
  readonly received: ToWorker[] = [];

  send(message: ToWorker): void {
    this.received.push(message);
  }
}

const raw = { shared: Buffer.from("{}"), layer: undefined, format: "json" } as const;

/** A round on policy 7 that the workers were asked in, and whether it is over. */
function roundOf(count: number): { round: PrepareRound; workers: Worker[]; over: () => Promise<boolean> } {
  const round = new PrepareRound({ id: 7, raw });
  const workers = Array.from({ length: count }, () => new Worker());
  workers.forEach((worker) => round.prepare(worker));
  let over = false;
  void round.outcome.then(
    () => (over = true),
    () => (over = true),
  );
  return {
    round,
    workers,
    async over() {
      await new Promise((resolve) => setImmediate(resolve));
      return over;
    },
  };
}

const no = [{ path: "plugins", message: "no" }];

describe("a round", () => {
  it("sends every worker the policy, and succeeds when the last of them has set it up", async () => {
    const { round, workers, over } = roundOf(2);
    const [first, second] = workers as [Worker, Worker];
    assert.deepEqual(first.received, [{ type: "prepare", id: 7, raw }]);
    assert.equal(first.preparing, 7);
    round.onPrepared(first, []);
    round.onPrepared(first, []);
    assert.equal(await over(), false);
    round.onPrepared(second, []);
    assert.equal((await round.outcome).id, 7);
  });

  it("goes on without one that hangs, once another has set it up", async () => {
    const { round, workers, over } = roundOf(2);
    const [first, hanging] = workers as [Worker, Worker];
    assert.equal(round.exclude(hanging), false, "nobody has set it up yet");
    round.onPrepared(first, []);
    assert.equal(await over(), false);
    assert.equal(round.exclude(hanging), true);
    assert.equal((await round.outcome).id, 7);
    assert.equal(round.exclude(hanging), false);
  });

  it("fails by one refusal, with its problems", async () => {
    const { round, workers } = roundOf(3);
    round.onPrepared(workers[1] as Worker, no);
    await assert.rejects(
      round.outcome,
      (error) => error instanceof PolicyRefused && error.problems[0] === no[0],
    );
  });

  it("goes on without one that died, and waits while none is left", async () => {
    const { round, workers, over } = roundOf(1);
    round.onExit(workers[0] as Worker);
    assert.equal(await over(), false);
    const next = new Worker();
    round.prepare(next);
    round.onPrepared(next, []);
    assert.equal((await round.outcome).id, 7);
  });

  it("does not count the word of one that died", async () => {
    const { round, workers, over } = roundOf(2);
    round.onPrepared(workers[0] as Worker, []);
    round.onExit(workers[0] as Worker);
    round.onExit(workers[1] as Worker);
    assert.equal(await over(), false);
  });

  it("is lost when worker after worker dies of it", async () => {
    const { round, workers } = roundOf(2);
    workers.forEach((worker) => round.onExit(worker));
    await assert.rejects(round.outcome, /ended while they set it up/);
  });

  it("is not moved by those that were not asked", async () => {
    const { round, over } = roundOf(1);
    round.onPrepared(new Worker(), no);
    round.onExit(new Worker());
    round.onExit(new Worker());
    assert.equal(await over(), false);
    round.abort("over");
    await assert.rejects(round.outcome, /over/);
  });
});
