// Quantiles of hook durations: accurate enough, and the same over several processes as over one.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { added, distributionOf, FineHistogram, quantile, total } from "../../../src/runtime/distribution.ts";
import { createMetrics } from "../../../src/telemetry/metrics.ts";

const metric = () =>
  createMetrics({ service: "test" }).histogram("seconds", "Seconds", [], [0.001, 0.01, 0.1])();
const near = (value: number | null, wanted: number, share: number): void =>
  assert.ok(value !== null && Math.abs(value / wanted - 1) <= share, `${value}, not ${wanted}`);

describe("quantiles", () => {
  it("are within a fifth, from a microsecond to seconds", () => {
    const histogram = new FineHistogram(metric());
    for (let i = 1; i <= 1_000; i += 1) histogram.observe(i * 0.000_01);
    const taken = distributionOf(histogram);
    near(quantile(taken, 0.5), 0.005, 0.1);
    near(quantile(taken, 0.99), 0.0099, 0.1);
    for (const seconds of [0.000_001, 0.000_1, 0.01, 1, 10]) {
      const one = new FineHistogram(metric());
      one.observe(seconds);
      near(quantile(distributionOf(one), 1), seconds, 0.2);
    }
  });

  it("take anything that a clock may say", () => {
    const histogram = new FineHistogram(metric());
    for (const seconds of [0, -1, 1e-12, 1e9, Infinity, NaN]) histogram.observe(seconds);
    assert.equal(total(distributionOf(histogram)), 5);
    assert.equal(quantile(distributionOf(new FineHistogram(metric())), 0.5), null);
  });

  it("add up over processes, also beside one that has counted nothing", () => {
    const [one, other] = [new FineHistogram(metric()), new FineHistogram(metric())];
    for (let i = 0; i < 10; i += 1) one.observe(0.001);
    for (let i = 0; i < 90; i += 1) other.observe(0.1);
    const both = added(distributionOf(one), distributionOf(other));
    assert.equal(total(both), 100);
    near(quantile(both, 0.05), 0.001, 0.2);
    near(quantile(both, 0.5), 0.1, 0.2);
    assert.deepEqual(added({ bounds: [], counts: [0] }, both), both);
  });

  it("are told of the metrics' own histograms as far as their steps go", () => {
    const histogram = metric();
    for (let i = 0; i < 100; i += 1) histogram.observe(0.005);
    histogram.observe(5);
    assert.deepEqual(distributionOf(histogram), { bounds: [0.001, 0.01, 0.1], counts: [0, 100, 0, 1] });
    near(quantile(distributionOf(histogram), 0.5), 0.0055, 0.01);
    assert.equal(quantile(distributionOf(histogram), 1), 0.1);
  });
});
