// A vote on a policy: all that live must be able to set it up, and one must.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { PolicyRefused } from "../../../src/policy/document/problems.ts";
import type { ToWorker } from "../../../src/workers/messages.ts";
import { Vote, type Voter } from "../../../src/workers/vote.ts";

class Worker implements Voter {
  asked = 0;
  readonly heard: ToWorker[] = [];

  send(message: ToWorker): void {
    this.heard.push(message);
  }
}

const raw = { shared: Buffer.from("{}"), layer: undefined, format: "json" } as const;

/** A vote on policy 7 that the workers were asked in, and whether it is over. */
function voteOf(count: number): { vote: Vote; workers: Worker[]; over: () => Promise<boolean> } {
  const vote = new Vote({ id: 7, raw });
  const workers = Array.from({ length: count }, () => new Worker());
  workers.forEach((worker) => vote.ask(worker));
  let over = false;
  void vote.outcome.then(
    () => (over = true),
    () => (over = true),
  );
  return {
    vote,
    workers,
    async over() {
      await new Promise((resolve) => setImmediate(resolve));
      return over;
    },
  };
}

const no = [{ path: "plugins", message: "no" }];

describe("a vote", () => {
  it("hands everybody the policy, and is won when the last of them has set it up", async () => {
    const { vote, workers, over } = voteOf(2);
    const [first, second] = workers as [Worker, Worker];
    assert.deepEqual(first.heard, [{ type: "prepare", id: 7, raw }]);
    assert.equal(first.asked, 7);
    vote.heard(first, []);
    vote.heard(first, []);
    assert.equal(await over(), false);
    vote.heard(second, []);
    assert.equal((await vote.outcome).id, 7);
  });

  it("goes on without one that hangs, once another has set it up", async () => {
    const { vote, workers, over } = voteOf(2);
    const [first, hanging] = workers as [Worker, Worker];
    assert.equal(vote.leaveBehind(hanging), false, "nobody has set it up yet");
    vote.heard(first, []);
    assert.equal(await over(), false);
    assert.equal(vote.leaveBehind(hanging), true);
    assert.equal((await vote.outcome).id, 7);
    assert.equal(vote.leaveBehind(hanging), false);
  });

  it("is lost by one refusal, with its problems", async () => {
    const { vote, workers } = voteOf(3);
    vote.heard(workers[1] as Worker, no);
    await assert.rejects(
      vote.outcome,
      (error) => error instanceof PolicyRefused && error.problems[0] === no[0],
    );
  });

  it("goes on without one that died, and waits while none is left", async () => {
    const { vote, workers, over } = voteOf(1);
    vote.lost(workers[0] as Worker);
    assert.equal(await over(), false);
    const next = new Worker();
    vote.ask(next);
    vote.heard(next, []);
    assert.equal((await vote.outcome).id, 7);
  });

  it("does not count the word of one that died", async () => {
    const { vote, workers, over } = voteOf(2);
    vote.heard(workers[0] as Worker, []);
    vote.lost(workers[0] as Worker);
    vote.lost(workers[1] as Worker);
    assert.equal(await over(), false);
  });

  it("is lost when worker after worker dies of it", async () => {
    const { vote, workers } = voteOf(2);
    workers.forEach((worker) => vote.lost(worker));
    await assert.rejects(vote.outcome, /ended while they set it up/);
  });

  it("is not moved by those that were not asked", async () => {
    const { vote, over } = voteOf(1);
    vote.heard(new Worker(), no);
    vote.lost(new Worker());
    vote.lost(new Worker());
    assert.equal(await over(), false);
    vote.cancel("over");
    await assert.rejects(vote.outcome, /over/);
  });
});
