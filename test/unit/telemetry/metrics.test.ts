// Metrics: the text equals prom-client's, labels are escaped, series limited, mistakes refused.
import assert from "node:assert/strict";
import { METHODS } from "node:http";
import { describe, it } from "node:test";
import * as client from "prom-client";
import { createRequestCounters } from "../../../src/routing/request-counters.ts";
import { processFamilies } from "../../../src/telemetry/process-families.ts";
import { createMetrics } from "../../../src/telemetry/metrics.ts";

/** Samples of a text as `name{sorted labels}` -> value, and the comment lines. */
function parse(text: string) {
  const samples = new Map<string, string>();
  const comments = new Set<string>();
  for (const line of text.split("\n")) {
    if (line === "") continue;
    if (line.startsWith("#")) {
      comments.add(line);
      continue;
    }
    const match = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
    assert.ok(match, `not a sample: ${line}`);
    const labels = [...(match[2] ?? "").matchAll(/([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"/g)].map(
      ([pair]) => pair,
    );
    assert.equal(labels.join(","), match[2] ?? "", line);
    const key = `${match[1]}{${labels.sort().join(",")}}`;
    assert.ok(!samples.has(key), `twice: ${key}`);
    samples.set(key, match[3] ?? "");
  }
  return { samples, comments };
}

const odd = 'a"b\\c\nd';

describe("metrics", () => {
  it("read as prom-client's own, samples and comments", async () => {
    const ours = createMetrics({ service: "users" });
    const registry = new client.Registry();
    registry.setDefaultLabels({ service: "users" });
    const registers = [registry];
    const help = "Requests\nby \\ route";

    const counter = ours.counter("t_requests_total", help, ["route", "status"]);
    const theirCounter = new client.Counter({
      name: "t_requests_total",
      help,
      labelNames: ["route", "status"],
      registers,
    });
    for (const route of ["/a/*", odd]) {
      counter(route, "200").inc();
      counter(route, "200").inc(2.5);
      theirCounter.inc({ route, status: "200" }, 1);
      theirCounter.inc({ route, status: "200" }, 2.5);
    }
    ours.gauge("t_age_seconds", "Age")().set(-1.5);
    new client.Gauge({ name: "t_age_seconds", help: "Age", registers }).set(-1.5);
    const histogram = ours.histogram("t_duration_seconds", "Time", ["route"], [0.01, 0.1, 1])("/a/*");
    const theirs = new client.Histogram({
      name: "t_duration_seconds",
      help: "Time",
      labelNames: ["route"],
      buckets: [0.01, 0.1, 1],
      registers,
    });
    for (const seconds of [0.001, 0.01, 0.02, 0.1, 0.5, 1, 7]) {
      histogram.observe(seconds);
      theirs.observe({ route: "/a/*" }, seconds);
    }

    const expected = parse(await registry.metrics());
    const got = parse(await ours.render());
    for (const [key, value] of expected.samples)
      assert.equal(Number(got.samples.get(key)), Number(value), key);
    for (const comment of expected.comments) assert.ok(got.comments.has(comment), comment);
    const mine = [...got.samples.keys()].filter((key) => key.startsWith("t_"));
    assert.equal(mine.length, expected.samples.size);
  });

  it("carry the service on every series, prom-client's process metrics too", async () => {
    const metrics = createMetrics({ service: "users" });
    metrics.counter("t_total", "T")();
    const { samples } = parse(await metrics.render());
    assert.ok(samples.has('process_cpu_seconds_total{service="users"}'));
    for (const key of samples.keys()) assert.match(key, /service="users"/);
  });

  it("show a family without labels from the start", async () => {
    const metrics = createMetrics({ service: "s" });
    metrics.counter("t_total", "T");
    assert.equal(parse(await metrics.render()).samples.get('t_total{service="s"}'), "0");
  });

  it("give the same family and the same child for the same names", async () => {
    const metrics = createMetrics({ service: "s" });
    metrics.counter("t_total", "T", ["a"])("x").inc();
    metrics.counter("t_total", "T", ["a"])("x").inc();
    assert.equal(metrics.counter("t_total", "T", ["a"])("x"), metrics.counter("t_total", "T", ["a"])("x"));
    assert.equal(parse(await metrics.render()).samples.get('t_total{a="x",service="s"}'), "2");
  });

  it("keep labels apart that would look alike when joined", async () => {
    const metrics = createMetrics({ service: "s" });
    const counter = metrics.counter("t_total", "T", ["a", "b"]);
    counter("x,", "y").inc();
    counter("x", ",y").inc();
    counter('x",b="', "").inc();
    assert.equal(
      [...parse(await metrics.render()).samples.keys()].filter((key) => key.startsWith("t_")).length,
      3,
    );
  });

  it("count everything past the bound of a family together, but for its statuses", async () => {
    const metrics = createMetrics({ service: "s", maxSeries: 10 });
    const counter = metrics.counter("t_total", "T", ["route", "status"]);
    for (let i = 0; i < 1000; i++) counter(`/r${i}`, "200").inc();
    counter("/r0", "200").inc();
    counter("/fails", "503").inc();
    for (let i = 0; i < 1000; i++) counter("/odd", `no status ${i}`).inc();
    const { samples } = parse(await metrics.render());
    assert.equal([...samples.keys()].filter((key) => key.startsWith("t_")).length, 13);
    assert.equal(samples.get('t_total{route="other",service="s",status="200"}'), "990");
    assert.equal(samples.get('t_total{route="other",service="s",status="503"}'), "1");
    assert.equal(samples.get('t_total{route="other",service="s",status="other"}'), "1000");
    assert.equal(samples.get('t_total{route="/r0",service="s",status="200"}'), "2");
  });

  it("leave callers no methods to fill them with", async () => {
    const metrics = createMetrics({ service: "s", maxSeries: 4 });
    const { requests } = createRequestCounters(metrics);
    for (const method of METHODS) requests("/*", method, "404").inc();
    requests("/*", "GET", "500").inc();
    const { samples } = parse(await metrics.render());
    assert.equal(
      samples.get('outrigger_requests_total{method="GET",route="/*",service="s",status="404"}'),
      "1",
    );
    assert.equal(
      samples.get('outrigger_requests_total{method="other",route="other",service="s",status="500"}'),
      "1",
    );
    const shown = [...samples.keys()].filter((key) => key.startsWith("outrigger_requests_total"));
    assert.ok(shown.length <= 6, shown.join());
    assert.ok(!shown.some((key) => key.includes("PROPFIND")), shown.join());
  });

  it("never let a counter fall or become no number", async () => {
    const metrics = createMetrics({ service: "s" });
    const counter = metrics.counter("t_total", "T")();
    counter.inc(3);
    counter.inc(-1);
    counter.inc(Number.NaN);
    metrics.histogram("t_seconds", "T")().observe(Number.NaN);
    const { samples } = parse(await metrics.render());
    assert.equal(samples.get('t_total{service="s"}'), "3");
    assert.equal(samples.get('t_seconds_count{service="s"}'), "0");
  });

  it("compute on demand what is only worth it when somebody looks", async () => {
    const metrics = createMetrics({ service: "s" });
    const gauge = metrics.gauge("t_age_seconds", "T")();
    let age = 1;
    metrics.onRender(() => gauge.set(age++));
    assert.equal(parse(await metrics.render()).samples.get('t_age_seconds{service="s"}'), "1");
    assert.equal(parse(await metrics.render()).samples.get('t_age_seconds{service="s"}'), "2");
  });

  it("refuse names, labels and buckets that Prometheus or the process metrics would clash with", () => {
    const metrics = createMetrics({ service: "s" });
    metrics.counter("t_total", "T", ["a"]);
    assert.throws(() => metrics.gauge("t_total", "T", ["a"]), /exists/);
    assert.throws(() => metrics.counter("t_total", "T", ["b"]), /exists/);
    assert.throws(() => metrics.counter("t-total", "T"), /name/);
    assert.throws(() => metrics.counter("process_x", "T"), /name/);
    for (const label of ["service", "le", "__x", "a-b"]) {
      assert.throws(() => metrics.counter("u_total", "T", [label]), /label/);
    }
    assert.throws(() => metrics.counter("u_total", "T", ["a", "a"]), /twice/);
    assert.throws(() => metrics.histogram("u_seconds", "T", [], [1, 1]), /rise/);
    assert.throws(() => metrics.counter("t_total", "T", ["a"])("x", "y"), /labels/);
  });

  it("in OpenMetrics name counters without _total, bounds in one way, and traces", async () => {
    const metrics = createMetrics({ service: "s" });
    metrics.counter("t_total", 'Says "t"')().inc(2);
    metrics.counter("t_odd", "Odd");
    const seconds = metrics.histogram("t_seconds", "T", [], [0.5, 1])();
    seconds.observe(0.7, "0af7651916cd43dd8448eb211c80319c");
    seconds.observe(0.2);
    const lines = (await metrics.render(true)).split("\n");
    for (const line of [
      '# HELP t Says \\"t\\"',
      "# TYPE t counter",
      't_total{service="s"} 2',
      "# TYPE t_odd unknown",
      't_seconds_bucket{service="s",le="0.5"} 1',
      "# TYPE process_cpu_seconds counter",
    ])
      assert.ok(lines.includes(line), line);
    assert.ok(
      lines.some((line) =>
        /^t_seconds_bucket\{service="s",le="1\.0"\} 2 # \{trace_id="0af7651916cd43dd8448eb211c80319c"\} 0\.7 \d{10}(\.\d+)?$/.test(
          line,
        ),
      ),
    );
    assert.deepEqual([lines.at(-2), lines.at(-1), lines.indexOf("")], ["# EOF", "", lines.length - 1]);
    assert.doesNotMatch(await metrics.render(), /trace_id|EOF/);
  });

  it("tell once of a metric that has no room for further series, and count what it cost", async () => {
    const told: string[] = [];
    const metrics = createMetrics({ service: "s", maxSeries: 2, onFolded: (name) => void told.push(name) });
    const family = metrics.counter("t_total", "T", ["route"]);
    for (const route of ["a", "b", "c", "d", "other"]) family(route).inc();
    assert.deepEqual(told, ["t_total"]);
    const { samples } = parse(await metrics.render());
    assert.equal(samples.get('outrigger_metric_series_folded_total{metric="t_total",service="s"}'), "2");
    assert.equal(samples.get('t_total{route="other",service="s"}'), "3");
  });

  it("of the process are read back from their text", () => {
    const text = `# HELP a_total A "b"
# TYPE a_total counter
a_total{kind="x\\"y",service="s"} 2

# HELP g_seconds G
# TYPE g_seconds histogram
g_seconds_bucket{le="0.1",service="s",kind="minor"} 1
g_seconds_bucket{le="1",service="s",kind="minor"} 3
g_seconds_bucket{le="+Inf",service="s",kind="minor"} 4
g_seconds_sum{service="s",kind="minor"} 5.5
g_seconds_count{service="s",kind="minor"} 4

# HELP n N
# TYPE n gauge
n +Inf
`;
    const [counter, histogram, gauge, ...more] = processFamilies(text);
    assert.deepEqual(more, []);
    assert.deepEqual(
      [counter?.type, counter?.labels, counter?.series[0]?.cells[0]],
      ["counter", ["kind"], 2],
    );
    assert.deepEqual(histogram?.buckets, [0.1, 1]);
    assert.deepEqual(histogram?.series[0]?.values, ["minor"]);
    assert.deepEqual([...(histogram?.series[0]?.cells ?? [])], [1, 2, 1, 5.5]);
    assert.deepEqual([gauge?.type, gauge?.help, gauge?.series[0]?.cells[0]], ["gauge", "N", Infinity]);
  });
});
