// Work that runs only in idle time.
import assert from "node:assert/strict";
import { setImmediate as turn } from "node:timers/promises";
import { test } from "node:test";
import { maxWaiting, ShadowQueue } from "../../../src/shadow/queue.ts";
import { maxRows, ShadowCounts } from "../../../src/shadow/report.ts";

test("one after the other, none in the turn that brings it, and no more than there is room for", async () => {
  let atWork = 0;
  const done: number[] = [];
  const queue = new ShadowQueue<number>(
    async (work) => {
      assert.equal((atWork += 1), 1);
      await turn();
      atWork -= 1;
      done.push(work);
    },
    () => 0,
  );
  const taken = Array.from({ length: maxWaiting + 5 }, (_, i) => queue.take(i));
  assert.deepEqual([done.length, taken.filter((each) => !each).length], [0, 5]);
  while (done.length < maxWaiting) await turn();
  assert.deepEqual(
    done,
    Array.from({ length: maxWaiting }, (_, i) => i),
  );
  queue.close();
  assert.equal(queue.take(1), false);
});

test("a busy thread takes none", () => {
  const queue = new ShadowQueue<number>(
    () => Promise.resolve(),
    () => 0.9,
  );
  assert.deepEqual([queue.busy, queue.take(1)], [true, false]);
});

test("what is counted is bounded, and adds up over processes", () => {
  const counts = new ShadowCounts();
  const decision = { route: "/a", by: null, status: 200 };
  const sample = { requestId: "r", method: "GET", caller: "", was: decision, becomes: null };
  for (let i = 0; i < maxRows + 10; i += 1)
    for (let n = 0; n < 5; n += 1)
      counts.add({ route: `/${i}`, plugin: "", kind: "unknown", about: [] }, sample);
  const told = counts.read();
  assert.deepEqual([told.rows.length, told.further, told.rows[0]?.count], [maxRows, 50, 5]);
  const samples = told.rows.flatMap((row) => row.samples);
  assert.ok(samples.length <= 60 && (told.rows[0]?.samples.length ?? 0) <= 3);
  const both = new ShadowCounts();
  both.addAll(told);
  both.addAll(told);
  assert.deepEqual([both.read().rows[0]?.count, both.read().further], [10, 100]);
});
