// Encodes the metrics page as an OTLP request (opentelemetry/proto/metrics/v1/metrics.proto). Names and labels are
// those of the page; numbers are totals since the process began (cumulative temporality).
import type { FamilySnapshot } from "../metric-families.ts";
import {
  type Attributes,
  JsonEnvelope,
  keyValues,
  nanosText,
  type OtlpResource,
  ProtobufEnvelope,
  writeAttributes,
} from "./attributes.ts";
import { ProtoWriter } from "./wire.ts";

/** The method's path, for gRPC. */
export const metricsMethod = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

/** When the totals began and when they were read, epoch milliseconds. */
export interface Times {
  readonly startMs: number;
  readonly nowMs: number;
}

export interface MetricsEncoder {
  readonly contentType: string;
  encode(families: readonly FamilySnapshot[], times: Times): Buffer;
}

type Series = FamilySnapshot["series"][number];

const scopeMetrics = { metrics: 2 };
const metric = { name: 1, description: 2, gauge: 5, sum: 7, histogram: 9 };
const points = { dataPoints: 1, temporality: 2, isMonotonic: 3 };
const cumulative = 2;
const numberPoint = { start: 2, time: 3, double: 4, attributes: 7 };
const histogramPoint = {
  start: 2,
  time: 3,
  count: 4,
  sum: 5,
  counts: 6,
  bounds: 7,
  exemplars: 8,
  attributes: 9,
};
const exemplar = { time: 2, double: 3, traceId: 5 };
const kinds = { counter: metric.sum, gauge: metric.gauge, histogram: metric.histogram } as const;
/** Checks exemplars, because a plugin may pass any text as a trace id. */
const isTraceId = /^[0-9a-f]{32}$/;

/** Number of series in all families. */
export function seriesIn(families: readonly FamilySnapshot[]): number {
  return families.reduce((sum, { series }) => sum + series.length, 0);
}

const attributesOf = ({ labels }: FamilySnapshot, { values }: Series): Attributes =>
  labels.flatMap((label, i) => [label, values[i] ?? ""]);
const total = (cells: Float64Array): number => cells.subarray(0, -1).reduce((sum, count) => sum + count, 0);
const tracesOf = ({ exemplars = [] }: Series) =>
  exemplars.flatMap((each) => (each !== undefined && isTraceId.test(each.traceId) ? [each] : []));

export class ProtobufMetrics implements MetricsEncoder {
  readonly contentType = "application/x-protobuf";
  readonly #envelope: ProtobufEnvelope;

  constructor(resource: OtlpResource) {
    this.#envelope = new ProtobufEnvelope(resource);
  }

  encode(families: readonly FamilySnapshot[], times: Times): Buffer {
    const writer = new ProtoWriter(65_536);
    for (const family of families) {
      if (family.series.length === 0) continue;
      const start = writer.begin(scopeMetrics.metrics);
      writer.string(metric.name, family.name);
      writer.string(metric.description, family.help);
      const data = writer.begin(kinds[family.type]);
      for (const series of family.series) {
        const point = writer.begin(points.dataPoints);
        if (family.type === "histogram") writeHistogram(writer, family, series, times);
        else writeNumber(writer, family, series, times);
        writer.end(point);
      }
      if (family.type !== "gauge") writer.varint(points.temporality, cumulative);
      if (family.type === "counter") writer.varint(points.isMonotonic, 1);
      writer.end(data);
      writer.end(start);
    }
    return this.#envelope.around(writer.take());
  }
}

function writeNumber(writer: ProtoWriter, family: FamilySnapshot, series: Series, times: Times): void {
  const { startMs, nowMs } = times;
  if (family.type === "counter") writer.nanos(numberPoint.start, startMs, 0);
  writer.nanos(numberPoint.time, nowMs, 0);
  writer.double(numberPoint.double, series.cells[0] ?? 0);
  writeAttributes(writer, numberPoint.attributes, attributesOf(family, series));
}

function writeHistogram(writer: ProtoWriter, family: FamilySnapshot, series: Series, times: Times): void {
  const { cells } = series;
  writer.nanos(histogramPoint.start, times.startMs, 0);
  writer.nanos(histogramPoint.time, times.nowMs, 0);
  writer.fixed64(histogramPoint.count, total(cells));
  writer.double(histogramPoint.sum, cells.at(-1) ?? 0);
  writer.fixed64s(histogramPoint.counts, cells.subarray(0, -1));
  writer.doubles(histogramPoint.bounds, family.buckets);
  for (const { traceId, value, atMs } of tracesOf(series)) {
    const start = writer.begin(histogramPoint.exemplars);
    writer.nanos(exemplar.time, atMs, 0);
    writer.double(exemplar.double, value);
    writer.hex(exemplar.traceId, traceId);
    writer.end(start);
  }
  writeAttributes(writer, histogramPoint.attributes, attributesOf(family, series));
}

export class JsonMetrics implements MetricsEncoder {
  readonly contentType = "application/json";
  readonly #envelope: JsonEnvelope;

  constructor(resource: OtlpResource) {
    this.#envelope = new JsonEnvelope(resource, "Metrics", "metrics");
  }

  encode(families: readonly FamilySnapshot[], times: Times): Buffer {
    const shown = families.filter(({ series }) => series.length > 0);
    return this.#envelope.around(shown.map((family) => JSON.stringify(jsonMetric(family, times))));
  }
}

function jsonMetric(family: FamilySnapshot, { startMs, nowMs }: Times): object {
  const { name, help: description, type } = family;
  const time = { startTimeUnixNano: nanosText(startMs, 0), timeUnixNano: nanosText(nowMs, 0) };
  const dataPoints = family.series.map((series) => ({
    ...time,
    attributes: keyValues(attributesOf(family, series)),
    ...(type === "histogram"
      ? jsonHistogram(family, series)
      : { asDouble: jsonNumber(series.cells[0] ?? 0) }),
  }));
  if (type === "gauge") return { name, description, gauge: { dataPoints } };
  const temporal = { dataPoints, aggregationTemporality: cumulative };
  if (type === "counter") return { name, description, sum: { ...temporal, isMonotonic: true } };
  return { name, description, histogram: temporal };
}

function jsonHistogram({ buckets }: FamilySnapshot, series: Series): object {
  const { cells } = series;
  return {
    count: String(total(cells)),
    sum: cells.at(-1) ?? 0,
    bucketCounts: [...cells.subarray(0, -1)].map(String),
    explicitBounds: buckets,
    exemplars: tracesOf(series).map(({ traceId, value, atMs }) => ({
      timeUnixNano: nanosText(atMs, 0),
      asDouble: value,
      traceId,
    })),
  };
}

/** ProtoJSON writes numbers that JSON lacks as words. */
function jsonNumber(value: number): number | string {
  if (Number.isFinite(value)) return value;
  return Number.isNaN(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
}
