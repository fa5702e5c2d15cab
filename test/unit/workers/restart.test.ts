// Backoff for workers that end.
import assert from "node:assert/strict";
import { it } from "node:test";
import { failuresInARow, restartDelayMs } from "../../../src/workers/restart.ts";

it("a worker that ends is replaced ever later, up to ten seconds, and at once again after a minute's health", () => {
  const delays: number[] = [];
  let failures = 0;
  for (const servedMs of [-Infinity, 0, 10, 59_999, 1, 1, 1, 1, 60_000, -Infinity]) {
    failures = failuresInARow(failures, servedMs);
    delays.push(restartDelayMs(failures));
  }
  assert.deepEqual(delays, [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 100, 200]);
  assert.equal(restartDelayMs(5_000), 10_000);
});
