// Metrics pushed to a collector: the same as on /metrics, each series once, over each protocol, and from several
// workers.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { startSidecar } from "../support/sidecar.ts";
import { type Collector, startCollector, startGrpcCollector } from "../support/collector.ts";
import { startCrew, startService } from "../support/crew.ts";
import type { ReceivedPoint } from "../support/otlp-metrics.ts";
import { eventually } from "../support/redis.ts";

const trace = "12345678901234567890123456789012";
const ask = async (url: string): Promise<void> => {
  const headers = { traceparent: `00-${trace}-1234567890123456-01` };
  await (await fetch(url, { headers })).text();
};
const settings = (collector: Collector, protocol: string): Record<string, string> => ({
  OTEL_METRICS_EXPORTER: "otlp",
  OTEL_METRIC_EXPORT_INTERVAL: "50",
  OTEL_TRACES_EXPORTER: "none",
  OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
  OTEL_EXPORTER_OTLP_PROTOCOL: protocol,
});
const named = (points: readonly ReceivedPoint[] | undefined, name: string): ReceivedPoint[] =>
  points?.filter((point) => point.name === name) ?? [];
const requestsIn = (points: readonly ReceivedPoint[] | undefined): number =>
  named(points, "outrigger_requests_total").reduce((sum, { value }) => sum + value, 0);

/** Every series of the page but those of histograms' single lines. */
function seriesOf(page: string): Set<string> {
  const lines = page.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  const shown = lines
    .map((line) => line.slice(0, line.lastIndexOf(" ")))
    .filter((series) => !/_(bucket|sum)\{/.test(series));
  return new Set(
    shown.map((series) => {
      const [name = "", labels = ""] = series.replace(/\}$/, "").split("{");
      return textOf(name.replace(/_count$/, ""), labels.split(/,(?=\w+=")/));
    }),
  );
}

const textOf = (name: string, labels: readonly string[]): string =>
  `${name}{${[...labels].sort().join(",")}}`;

const seriesText = ({ name, attributes }: ReceivedPoint): string =>
  textOf(
    name,
    Object.entries(attributes).map(([key, value]) => `${key}="${String(value)}"`),
  );

describe("metrics pushed", () => {
  for (const protocol of ["http/protobuf", "http/json", "grpc"] as const) {
    test(`are what the page shows, over ${protocol}`, async () => {
      await using collector = await (protocol === "grpc" ? startGrpcCollector() : startCollector());
      await using service = await startService((_request, response) => response.end());
      const env = { ...settings(collector, protocol), OUTRIGGER_SERVICE: "shop" };
      await using sidecar = await startSidecar({
        policy: { plugins: ["logging"] },
        upstream: service.url,
        env,
      });
      await ask(sidecar.url);
      await ask(sidecar.url);
      await eventually("both requests are told of", () => requestsIn(collector.metrics.at(-1)) === 2);
      // What began with the first sending itself is a moment later on the page.
      const sorted = (all: Iterable<string>): string[] =>
        [...all].filter((series) => !/outrigger_metric_points_total|nodejs_active/.test(series)).sort();
      const newest = (): readonly ReceivedPoint[] => collector.metrics.at(-1) ?? [];
      // A series that begins between a sending and the page is in the next one.
      await eventually("pushed is what the page shows", async () => {
        const page = sorted(seriesOf(await sidecar.metrics()));
        return isDeepStrictEqual(sorted(newest().map(seriesText)), page);
      });
      const points = newest();
      const pushed = points.map(seriesText);
      assert.equal(new Set(pushed).size, pushed.length);
      const [seconds] = named(points, "outrigger_request_duration_seconds");
      assert.ok(seconds !== undefined);
      const { kind, temporality, value, buckets, bounds, traces, attributes, resource, startNanos, nanos } =
        seconds;
      assert.deepEqual([kind, temporality, value, attributes["service"]], ["histogram", 2, 2, "shop"]);
      assert.equal(
        buckets.reduce((sum, count) => sum + count, 0),
        2,
      );
      assert.equal(buckets.length, bounds.length + 1);
      assert.ok(traces.includes(trace));
      assert.equal(resource["service.name"], "shop");
      assert.ok(startNanos > 0n && nanos > startNanos);
      const [cpu] = named(points, "process_cpu_seconds_total");
      assert.deepEqual([cpu?.kind, (cpu?.value ?? 0) > 0], ["sum", true]);
    });
  }

  test("of several workers are one, and told once more at the end", async () => {
    await using collector = await startCollector();
    await using service = await startService((_request, response) => response.end());
    const env = { ...settings(collector, "http/protobuf"), OTEL_METRIC_EXPORT_INTERVAL: "300" };
    const crew = await startCrew({ workers: 2, upstream: service.url, env });
    try {
      for (let i = 0; i < 10; i += 1) await ask(crew.url);
      await eventually("all requests are told of", () => requestsIn(collector.metrics.at(-1)) === 10);
      const pushed = (collector.metrics.at(-1) ?? []).map(seriesText);
      assert.equal(new Set(pushed).size, pushed.length);
      await ask(crew.url);
    } finally {
      await crew.stop();
    }
    assert.equal(requestsIn(collector.metrics.at(-1)), 11);
  });

  test("wait for nobody: a collector in trouble is told of once, and what it missed is counted", async () => {
    await using collector = await startCollector(
      { status: 429, headers: { "retry-after": "0" } },
      { status: 413 },
      { status: 413 },
    );
    await using service = await startService((_request, response) => response.end());
    const env = settings(collector, "http/protobuf");
    await using sidecar = await startSidecar({
      policy: { plugins: ["logging"] },
      upstream: service.url,
      env,
    });
    await sidecar.line(({ msg }) => msg === "the collector takes metrics again");
    const lines = sidecar.lines.filter(({ msg }) =>
      /^the collector refuses metrics|^metrics cannot be sent/.test(String(msg)),
    );
    assert.equal(lines.length, 2);
    const page = await sidecar.metrics();
    for (const result of ["exported", "dropped"])
      assert.match(page, new RegExp(`^outrigger_metric_points_total\\{.*result="${result}"\\} [1-9]`, "m"));
  });

  test("have a protocol, fields and a time limit of their own where the settings say so", async () => {
    await using collector = await startCollector({ instead: "silence" });
    await using _sidecar = await startSidecar({
      policy: { plugins: [] },
      upstream: (_request, response) => void response.end(),
      env: {
        ...settings(collector, "grpc"),
        OTEL_EXPORTER_OTLP_HEADERS: "x-all=1,x-key=all",
        OTEL_EXPORTER_OTLP_METRICS_HEADERS: "x-key=metrics",
        OTEL_EXPORTER_OTLP_METRICS_PROTOCOL: "http/json",
        OTEL_EXPORTER_OTLP_METRICS_TIMEOUT: "50",
        OTEL_EXPORTER_OTLP_TIMEOUT: "3600000",
      },
    });
    await eventually("one is given up, and the next is taken", () => collector.metrics.length > 0);
    const [{ path, headers } = { path: "", headers: {} }] = collector.requests;
    const { "content-type": type, "x-all": all, "x-key": key } = headers;
    assert.deepEqual([path, type, all, key], ["/v1/metrics", "application/json", "1", "metrics"]);
  });
});
