// The time budget in a plugin's manifest: a plugin over it is reported, and left out if that continues.
import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import type { Logger } from "../../../src/plugin-api/services.ts";
import { Budget } from "../../../src/runtime/budget.ts";
import { PluginFaults } from "../../../src/runtime/plugin-faults.ts";
import { createMetrics } from "../../../src/telemetry/metrics.ts";
import { TestClock } from "../../../src/testing/clock.ts";

describe("the time that a plugin may take for a request", () => {
  let clock: TestClock;
  let faults: PluginFaults;
  let budget: Budget;
  let lines: string[];
  const metrics = createMetrics({ service: "test" });
  beforeEach(() => {
    clock = new TestClock();
    lines = [];
    const log = (fields: object, message: string): void =>
      void lines.push(`${message} ${JSON.stringify(fields)}`);
    const logger: Logger = { debug: log, info: log, warn: log, error: log };
    const plugin = { name: "geo", version: "1.0.0" };
    faults = new PluginFaults(plugin, logger, metrics);
    budget = new Budget({ ...plugin, micros: 100 }, { clock, logger, metrics, faults });
  });

  /** Requests of which each has two hooks, over one window. */
  function window(microsAHook: number): void {
    clock.advance(10_000);
    for (let i = 0; i < 128; i += 1) {
      budget.took("onRequest", microsAHook / 1e6);
      budget.took("onResponse", microsAHook / 1e6);
    }
  }

  it("is that of all its hooks together", () => {
    window(49);
    assert.deepEqual([lines, faults.trouble(clock.mono())], [[], undefined]);
    window(60);
    assert.match(
      lines.join(),
      /more time a request than it is allowed .*"averageMicros":120,"budgetMicros":100/,
    );
    assert.equal(faults.trouble(clock.mono()), "it takes 120 µs a request, and is to take no more than 100");
    window(10);
    assert.match(lines[1] ?? "", /within its time a request again/);
    assert.equal(faults.trouble(clock.mono()), undefined);
  });

  it("puts it into quarantine when it stays over", async () => {
    window(60);
    window(60);
    assert.equal(faults.isQuarantined(clock.mono()), false);
    window(60);
    assert.equal(faults.isQuarantined(clock.mono()), true);
    assert.match(
      lines.join(),
      /plugin is quarantined: it takes 120 µs a request, and is to take no more than 100;/,
    );
    assert.match(
      await metrics.render(),
      /outrigger_plugin_over_budget\{service="test",plugin="geo",version="1\.0\.0"\} 1/,
    );
    clock.advance(60_000);
    assert.equal(faults.isQuarantined(clock.mono()), false);
  });

  it("is no matter of a few slow requests", () => {
    clock.advance(10_000);
    for (let i = 0; i < 255; i += 1) budget.took("onRequest", 1);
    assert.deepEqual(lines, []);
  });
});
