// Metrics of several processes merged into one text: sums are exact, gauges follow their rule, process metrics stay
// separate.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { deserialize, serialize } from "node:v8";
import fc from "fast-check";
import { ExitedWorkerMetrics } from "../../../src/workers/exited-worker-metrics.ts";
import { createMetrics, mergeMetrics, metricsSnapshot } from "../../../src/telemetry/metrics.ts";

/** What a snapshot is once it has gone through the channel between two processes. */
const sent = (snapshot: unknown) => metricsSnapshot.parse(deserialize(serialize(snapshot)));

/** The text without the process metrics, which differ between any two looks. */
const own = (text: string): string[] => text.split("\n").filter((line) => /^(# (HELP|TYPE) )?t_/.test(line));

const value = (text: string, series: string): number => {
  const line = text.split("\n").find((each) => each.startsWith(`${series} `));
  assert.ok(line, `no ${series}`);
  return Number(line.slice(series.length + 1));
};

type Step = readonly [process: number, kind: "count" | "observe", label: string, by: number];

describe("metrics of several processes", () => {
  it("read as if one process had counted everything", async () => {
    const step = fc.tuple(
      fc.nat(2),
      fc.constantFrom("count" as const, "observe" as const),
      fc.constantFrom("/a/*", 'odd"\\\n', "\xff", ""),
      // Whole numbers and halves: their sums do not depend on the order.
      fc.nat(1000).map((n) => n / 2),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps: readonly Step[]) => {
        const one = createMetrics({ service: "s" });
        const several = [0, 1, 2].map(() => createMetrics({ service: "s" }));
        for (const metrics of [one, ...several]) {
          metrics.counter("t_total", "T", ["route", "more"]);
          metrics.histogram("t_seconds", "T", ["route"], [1, 10, 100]);
        }
        for (const [process, kind, label, by] of steps) {
          for (const metrics of [one, several[process] as typeof one]) {
            if (kind === "count") metrics.counter("t_total", "T", ["route", "more"])(label, "x").inc(by);
            else metrics.histogram("t_seconds", "T", ["route"], [1, 10, 100])(label).observe(by);
          }
        }
        const snapshots = await Promise.all(several.map(async (metrics) => sent(await metrics.snapshot())));
        assert.deepEqual(own(mergeMetrics("s", snapshots)).sort(), own(await one.render()).sort());
      }),
      { numRuns: 50 },
    );
  });

  it("leave out what another process has by that name with other labels or buckets", async () => {
    const processes = [
      [1, 2],
      [1, 3],
      [1, 2],
    ].map((bounds, worker) => {
      const metrics = createMetrics({ service: "s" });
      metrics.counter("t_total", "T")().inc();
      metrics.histogram("t_seconds", "T", [], bounds)().observe(1);
      if (worker === 2) metrics.counter("t_mixed", "T", ["a"])("x").inc();
      else metrics.counter("t_mixed", "T", ["b", "c"])("x", "y").inc();
      return metrics;
    });
    const snapshots = await Promise.all(processes.map(async (metrics) => sent(await metrics.snapshot())));
    const text = mergeMetrics("s", snapshots);
    assert.equal(value(text, 't_total{service="s"}'), 3);
    assert.equal(value(text, 't_seconds_count{service="s"}'), 2);
    assert.equal(value(text, 't_mixed{service="s",b="x",c="y"}'), 2);
    assert.equal(value(text, 'outrigger_worker_metrics_left_out{service="s"}'), 2);
    const exited = new ExitedWorkerMetrics("s", 100);
    snapshots.forEach((snapshot) => exited.add(snapshot));
    assert.match(mergeMetrics("s", [exited.snapshot()]), /^t_seconds_count\{service="s"\} 2$/m);
  });

  it("combine gauges as their family says", async () => {
    const set = async (number: number) => {
      const metrics = createMetrics({ service: "s" });
      metrics.gauge("t_connections", "T")().set(number);
      metrics.gauge("t_bound", "T", ["limit"], "max")("a").set(number);
      metrics.gauge("t_up", "T", [], "min")().set(number);
      return sent(await metrics.snapshot());
    };
    const text = mergeMetrics("s", [await set(5), await set(3), await set(4)]);
    assert.equal(value(text, 't_connections{service="s"}'), 12);
    assert.equal(value(text, 't_bound{service="s",limit="a"}'), 5);
    assert.equal(value(text, 't_up{service="s"}'), 3);
  });

  it("keep every process's own metrics apart, each in the group of its name", async () => {
    const snapshots = await Promise.all(
      ["primary", "1", "2"].map(async (worker) =>
        sent(await createMetrics({ service: "s", worker }).snapshot()),
      ),
    );
    const lines = mergeMetrics("s", snapshots).split("\n");
    const start = lines.indexOf("# TYPE process_cpu_seconds_total counter");
    assert.match(lines[start - 1] ?? "", /^# HELP process_cpu_seconds_total /);
    for (const [i, worker] of ["primary", "1", "2"].entries()) {
      assert.match(
        lines[start + 1 + i] ?? "",
        new RegExp(`^process_cpu_seconds_total\\{service="s",worker="${worker}"\\} `),
      );
    }
    assert.equal(lines.filter((line) => line.startsWith("# HELP process_cpu_seconds_total ")).length, 1);
  });

  it("count past the bound of a family together", async () => {
    const snapshots = await Promise.all(
      [0, 1].map(async (process) => {
        const metrics = createMetrics({ service: "s" });
        for (let i = 0; i < 8; i++) metrics.counter("t_total", "T", ["route"])(`/${process}/${i}`).inc();
        return sent(await metrics.snapshot());
      }),
    );
    const text = mergeMetrics("s", snapshots, { maxSeries: 10 });
    assert.equal(own(text).length, 2 + 11);
    assert.equal(value(text, 't_total{service="s",route="other"}'), 6);
  });

  it("are refused when they are no metrics", async () => {
    const one = await createMetrics({ service: "s" }).snapshot();
    assert.throws(() => sent({ ...one, families: [{ name: "t" }] }));
    assert.throws(() => sent({ process: "" }));
  });

  it("are copied: what counts on afterwards does not change them", async () => {
    const metrics = createMetrics({ service: "s" });
    metrics.counter("t_total", "T")().inc();
    const snapshot = await metrics.snapshot();
    assert.equal(value(mergeMetrics("s", [snapshot, snapshot]), 't_total{service="s"}'), 2);
    assert.equal(value(await metrics.render(), 't_total{service="s"}'), 1);
  });

  it("name the latest trace of each bucket", async () => {
    const observed = async (trace: string | undefined) => {
      const metrics = createMetrics({ service: "s" });
      metrics.histogram("t_seconds", "T", [], [1])().observe(0.5, trace);
      return sent(await metrics.snapshot());
    };
    const [before, after] = [await observed("a".repeat(32)), await observed("b".repeat(32))];
    const kept = after.families.find(({ name }) => name === "t_seconds")?.series[0]?.exemplars?.[0];
    assert.ok(kept !== undefined);
    kept.atMs += 1;
    for (const snapshots of [
      [before, after, await observed(undefined)],
      [after, before],
    ]) {
      const text = mergeMetrics("s", snapshots, { open: true });
      assert.match(text, /^t_seconds_bucket\{service="s",le="1\.0"\} \d # \{trace_id="b{32}"\} 0\.5 /m);
      assert.ok(text.endsWith("\n# EOF\n"));
    }
  });
});
