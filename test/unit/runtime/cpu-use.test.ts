import assert from "node:assert/strict";
import { it } from "node:test";
import { CpuUse } from "../../../src/runtime/cpu-use.ts";

/** A second each, with so much of a processor. @returns what came of the last */
function seconds(use: CpuUse, shares: readonly number[]): string | undefined {
  let cpuMs = 0;
  let atMs = 0;
  let why = use.measured(cpuMs, atMs);
  for (const share of shares) why = use.measured((cpuMs += share * 1_000), (atMs += 1_000));
  return why;
}

it("a process that takes more of a processor than it may ends after ten seconds of it on end", () => {
  const over = Array.from({ length: 10 }, () => 0.6);
  assert.equal(seconds(new CpuUse(0.5), over.slice(1)), undefined);
  assert.equal(seconds(new CpuUse(0.5), over), "it takes 0.60 of a processor, and may take 0.5");
  assert.equal(seconds(new CpuUse(0.5), [...over.slice(1), 0.4, 0.6]), undefined);
  assert.equal(seconds(new CpuUse(), over), undefined);
});

it("what cannot be measured is not judged", () => {
  const use = new CpuUse(0.1);
  for (let i = 0; i < 20; i += 1)
    assert.equal(use.measured(i % 2 === 0 ? i * 1_000 : undefined, i), undefined);
  assert.equal(use.share, undefined);
});
