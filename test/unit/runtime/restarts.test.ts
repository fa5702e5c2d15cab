// How often a plugin that keeps dying is restarted.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createMetrics } from "../../../src/telemetry/metrics.ts";
import { Restarts } from "../../../src/runtime/restarts.ts";

function scene(perMinute: number) {
  const lines: string[] = [];
  const metrics = createMetrics({ service: "users" });
  const logger = { ...silent, error: (fields: object) => void lines.push(JSON.stringify(fields)) };
  const restarts = new Restarts({ plugin: "geo", version: "1.2.0+abc", perMinute, logger, metrics });
  return { restarts, lines, metrics };
}
const silent = { debug() {}, info() {}, warn() {}, error() {} };

describe("restarts of a plugin that dies", () => {
  it("wait 100 ms, then twice as long each time, half a minute at most", () => {
    const { restarts } = scene(60);
    const delays = Array.from({ length: 11 }, (_, i) => restarts.nextDelay("exited", i * 40_000));
    assert.deepEqual(delays, [100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000]);
  });

  it("begin anew once it was well for a minute", () => {
    const { restarts } = scene(60);
    restarts.nextDelay("exited", 0);
    assert.equal(restarts.nextDelay("exited", 1_000), 200);
    assert.equal(restarts.nextDelay("exited", 62_000), 100);
  });

  it("end in quarantine past the limit of a minute, with one line and the metric", async () => {
    const { restarts, lines, metrics } = scene(2);
    assert.equal(restarts.nextDelay("exited", 0), 100);
    assert.equal(restarts.nextDelay("exited", 1_000), 200);
    assert.equal(restarts.trouble, undefined);
    assert.equal(restarts.nextDelay("ran out of memory", 2_000), undefined);
    assert.equal(restarts.nextDelay("exited", 900_000), undefined, "no time heals it");
    assert.equal(restarts.quarantined, true);
    assert.equal(restarts.trouble, "it is quarantined: ran out of memory");
    assert.equal(lines.length, 1);
    assert.match(lines[0] as string, /"reason":"ran out of memory"/);
    assert.match(
      await metrics.render(),
      /^outrigger_plugin_quarantined\{.*plugin="geo",version="1\.2\.0\+abc".*\} 1$/m,
    );
    restarts.close();
    assert.match(await metrics.render(), /^outrigger_plugin_quarantined\{.*\} 0$/m);
  });

  it("are none where the policy allows none", () => {
    assert.equal(scene(0).restarts.nextDelay("exited", 0), undefined);
  });
});
