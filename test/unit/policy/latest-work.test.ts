// One piece of work at a time: which one is aborted, and that the latest one runs.
import assert from "node:assert/strict";
import { test } from "node:test";
import { LatestWork } from "../../../src/policy/latest-work.ts";
import { eventually } from "../../support/redis.ts";

interface Begun {
  readonly job: string;
  readonly signal: AbortSignal;
  readonly end: () => void;
}

function setUp(patienceMs: number): { work: LatestWork<string>; begun: Begun[] } {
  const begun: Begun[] = [];
  const work = new LatestWork<string>({
    patienceMs,
    overtakes: (newer, atWork) => newer !== atWork,
    run: (job, signal) =>
      new Promise((resolve) => {
        begun.push({ job, signal, end: resolve });
        signal.addEventListener("abort", () => resolve());
      }),
  });
  return { work, begun };
}
const jobs = (begun: readonly Begun[]): string[] => begun.map(({ job }) => job);

test("of those that come meanwhile only the latest is begun", async () => {
  const { work, begun } = setUp(60_000);
  void work.offer("a");
  void work.offer("b");
  const done = work.offer("c");
  begun[0]?.end();
  await eventually("the next", () => begun.length === 2);
  begun[1]?.end();
  await done;
  assert.deepEqual(jobs(begun), ["a", "c"]);
});

test("whoever waits for one waits for no other that comes meanwhile", async () => {
  const { work, begun } = setUp(60_000);
  const first = work.offer("a");
  const second = work.offer("b");
  begun[0]?.end();
  await first;
  await eventually("the next", () => begun.length === 2);
  begun[1]?.end();
  await second;
});

test("whoever waits for one that is broken off waits for the one in its place", async () => {
  const { work, begun } = setUp(1);
  const ended: string[] = [];
  const first = work.offer("a").then(() => ended.push("a"));
  void work.offer("b");
  await eventually("the next", () => begun.length === 2);
  assert.deepEqual(ended, []);
  begun[1]?.end();
  await first;
});

test("whoever waits is let go when all is stopped", async () => {
  const { work } = setUp(60_000);
  const waiting = [work.offer("a"), work.offer("b")];
  await work.stop();
  await Promise.all(waiting);
});

test("a newer one breaks off the one at work, once that had its time", async () => {
  const { work, begun } = setUp(30);
  const fromMono = performance.now();
  void work.offer("a");
  void work.offer("b");
  await eventually("the next", () => begun.length === 2);
  assert.ok(performance.now() - fromMono >= 29);
  assert.equal(begun[0]?.signal.aborted, true);
  await work.stop();
  assert.equal(begun[1]?.signal.aborted, true);
});

test("one that is taken back, as the one at work was what is wanted, breaks nothing off", async () => {
  const { work, begun } = setUp(1);
  void work.offer("a");
  void work.offer("b");
  void work.offer("a");
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual([jobs(begun), begun[0]?.signal.aborted], [["a"], false]);
  await work.stop();
});

test("however fast they come, one that takes long is done: each gets twice the time of the one broken off", async () => {
  const done: string[] = [];
  let begun = 0;
  const work = new LatestWork<string>({
    patienceMs: 5,
    overtakes: () => true,
    run: (job, signal) =>
      new Promise((resolve) => {
        begun += 1;
        const timer = setTimeout(() => {
          done.push(job);
          resolve();
        }, 60);
        signal.addEventListener("abort", () => {
          clearTimeout(timer);
          resolve();
        });
      }),
  });
  let count = 0;
  const feeder = setInterval(() => void work.offer(String(++count)), 1);
  await eventually("one is done", () => done.length > 0);
  clearInterval(feeder);
  assert.ok(begun >= 3, "some were broken off before");
  await work.stop();
});
