// A plugin that replaces another one, and has to show that it performs no worse.
import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import type { Logger } from "../../../src/plugin-api/services.ts";
import { Alternatives } from "../../../src/runtime/alternatives.ts";
import { type HookMeasures, measureHooks } from "../../../src/runtime/hook-measures.ts";
import { PluginFaults } from "../../../src/runtime/plugin-faults.ts";
import { Succession } from "../../../src/runtime/succession.ts";
import { createMetrics } from "../../../src/telemetry/metrics.ts";
import { TestClock } from "../../../src/testing/clock.ts";
import { exchangeOf, identityOf } from "../../support/exchange.ts";

describe("a plugin that takes another one's place", () => {
  let clock: TestClock;
  let lines: string[];
  let succession: Succession;
  let newer: HookMeasures;
  let older: HookMeasures;
  let faults: PluginFaults;

  beforeEach(() => {
    clock = new TestClock();
    lines = [];
    const log = (fields: object, message: string): void =>
      void lines.push(`${message} ${JSON.stringify(fields)}`);
    const logger: Logger = { debug: log, info: log, warn: log, error: log };
    const metrics = createMetrics({ service: "test" });
    const member = (name: string) => {
      const definition = { name, version: "1.0.0" };
      const measures = measureHooks(name, metrics, true);
      return { definition, faults: new PluginFaults(definition, logger, metrics), measures: () => measures };
    };
    const [one, other] = [member("geo2"), member("geo")];
    [newer, older, faults] = [one.measures(), other.measures(), one.faults];
    succession = new Succession(one, other, { clock, logger });
    look(1_000);
  });

  function look(afterMs: number): void {
    clock.advance(afterMs);
    succession.look();
  }

  /** So many hooks of that length, and so many of them failed. */
  function took({ seconds, errors }: HookMeasures, hooks: number, length: number, failed = 0): void {
    for (let i = 0; i < hooks; i += 1) seconds.onRequest.observe(length);
    for (let i = 0; i < failed; i += 1) errors.onRequest.count("threw");
  }

  it("keeps its callers while it does as well", () => {
    for (let i = 0; i < 30; i += 1) {
      took(newer, 400, 0.001, 10);
      took(older, 400, 0.001, 10);
      look(1_000);
    }
    assert.deepEqual([succession.isOver, lines], [false, []]);
  });

  it("gives them back within a second when it fails more", () => {
    took(older, 100, 0.001);
    took(newer, 100, 0.001, 20);
    look(1_000);
    assert.equal(succession.isOver, true);
    assert.match(
      faults.trouble(clock.mono()) ?? "",
      /^it does worse than "geo", which has its callers again: 20 of its 100 hooks failed, and 0 of 100$/,
    );
    assert.equal(lines.length, 1);
    assert.match(lines[0] ?? "", /^plugin does worse than the one that it replaces.*"plugin":"geo2"/);
  });

  it("is not judged by a few failures, or by those that the other has, too", () => {
    took(newer, 20, 0.001, 19);
    look(1_000);
    took(newer, 700, 0.001, 15);
    look(1_000);
    assert.equal(succession.isOver, false, "34 of 720 are less than 5 %");
    took(newer, 400, 0.001, 30);
    took(older, 400, 0.001, 25);
    look(1_000);
    assert.equal(succession.isOver, false);
  });

  it("gives them back after a window in which its hooks took longer", () => {
    took(newer, 300, 0.005);
    took(older, 300, 0.001);
    look(9_000);
    assert.equal(succession.isOver, false);
    look(1_000);
    assert.match(faults.trouble(clock.mono()) ?? "", /p95 of its hooks is [45]\.\d ms, and 1\.\d$/);
  });

  it("is judged anew by each window", () => {
    took(newer, 100, 0.001, 15);
    took(older, 100, 0.001);
    look(11_000);
    took(newer, 1_000, 0.001, 15);
    look(1_000);
    assert.equal(succession.isOver, false);
  });

  it("leaves all callers to the other one, until it comes anew", () => {
    const members = [
      { name: "geo2", percent: 50 },
      { name: "geo", percent: 100 },
    ];
    const pair = new Alternatives("geo", members, succession);
    const callers = Array.from({ length: 100 }, (_, i) => identityOf({ userId: `user-${i}` }));
    const ofNewer = (): number =>
      callers.filter((identity) => pair.takes("geo2", exchangeOf({ identity }))).length;
    assert.ok(ofNewer() > 30);
    took(newer, 100, 0.001, 50);
    clock.advance(1_000);
    ofNewer();
    assert.equal(ofNewer(), 0);
    assert.ok(callers.every((identity) => pair.takes("geo", exchangeOf({ identity }))));
    faults.withdraw();
    assert.ok(ofNewer() > 30);
  });
});
