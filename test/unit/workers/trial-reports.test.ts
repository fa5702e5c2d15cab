// Workers' reports about a candidate, summed up while workers come and go.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ShadowCounts } from "../../../src/shadow/report.ts";
import type { WorkerTrial } from "../../../src/workers/messages.ts";
import { TrialReports } from "../../../src/workers/trial-reports.ts";

function told(id: string, requests: number, more: Partial<WorkerTrial> = {}): WorkerTrial {
  const counts = new ShadowCounts();
  counts.compared = requests;
  const shadow = counts.read();
  return { id, refused: undefined, held: false, candidate: [requests], baseline: [2], shadow, ...more };
}

const short = (trial: WorkerTrial | undefined) =>
  trial && [trial.candidate[0], trial.baseline[0], trial.shadow?.compared, trial.shadow?.endedWorkers ?? 0];

test("what a worker had counted stays when it ends, and that it ended is told", () => {
  const reports = new TrialReports();
  reports.follow("one");
  assert.deepEqual(short(reports.sum([told("one", 5), told("one", 7)])), [12, 4, 12, 0]);
  reports.workerEnded(told("one", 5, { refused: "for want of memory", held: true }));
  const left = reports.sum([told("one", 7)]);
  assert.deepEqual(short(left), [12, 4, 12, 1]);
  // Its successor may be able to.
  assert.deepEqual([left?.refused, left?.held], [undefined, false]);
  reports.workerEnded(told("one", 7));
  assert.deepEqual(short(reports.sum([])), [12, 4, 12, 2]);
  assert.deepEqual(short(reports.sum([told("one", 1)])), [13, 6, 13, 2]);
});

test("of another canary, or none any more, nothing is kept", () => {
  const reports = new TrialReports();
  reports.follow("one");
  reports.workerEnded(told("one", 5));
  reports.follow("two");
  assert.equal(reports.sum([told("one", 7)]), undefined);
  // It ended before it heard of the new one.
  reports.workerEnded(told("one", 7));
  reports.workerEnded(undefined);
  assert.deepEqual(short(reports.sum([told("one", 3), told("two", 4)])), [4, 2, 4, 0]);
  reports.workerEnded(told("two", 4));
  reports.follow(undefined);
  assert.equal(reports.sum([]), undefined);
});

test("what one worker says of the candidate is said of all of them, whichever it is", () => {
  const reports = new TrialReports();
  reports.follow("one");
  const well = told("one", 3);
  assert.deepEqual([reports.sum([well])?.refused, reports.sum([well])?.held], [undefined, false]);
  const refusing = told("one", 0, { refused: "for want of memory" });
  const holding = told("one", 4, { held: true });
  for (const all of [
    [well, refusing, holding],
    [holding, refusing, well],
  ]) {
    const sum = reports.sum(all);
    assert.deepEqual(
      [sum?.refused, sum?.held, ...(short(sum) ?? [])],
      ["for want of memory", true, 7, 6, 7, 0],
    );
  }
});

test("a canary has no shadow's report, when a worker has ended either", () => {
  const reports = new TrialReports();
  reports.follow("one");
  const canary = told("one", 5, { shadow: undefined });
  reports.workerEnded(canary);
  // It goes on: what was counted is not forgotten.
  reports.follow("one");
  const sum = reports.sum([canary]);
  assert.deepEqual([sum?.candidate[0], sum?.shadow], [10, undefined]);
});
