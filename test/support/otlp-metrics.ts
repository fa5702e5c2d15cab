// Decodes metrics as a collector gets them. protobufjs decodes from the public definition, so that the project's own
// code is not tested against itself.
import protobuf from "protobufjs";

// opentelemetry/proto/{collector/metrics,metrics,resource,common}/v1, as far as sums, gauges and histograms have it.
const definition = `
syntax = "proto3";
message ExportMetricsServiceRequest { repeated ResourceMetrics resource_metrics = 1; }
message ResourceMetrics { Resource resource = 1; repeated ScopeMetrics scope_metrics = 2; }
message Resource { repeated KeyValue attributes = 1; }
message ScopeMetrics { InstrumentationScope scope = 1; repeated Metric metrics = 2; }
message InstrumentationScope { string name = 1; string version = 2; }
message Metric {
  string name = 1; string description = 2; string unit = 3;
  oneof data { Gauge gauge = 5; Sum sum = 7; Histogram histogram = 9; }
}
message Gauge { repeated NumberDataPoint data_points = 1; }
enum AggregationTemporality { UNSPECIFIED = 0; DELTA = 1; CUMULATIVE = 2; }
message Sum { repeated NumberDataPoint data_points = 1; AggregationTemporality aggregation_temporality = 2; bool is_monotonic = 3; }
message Histogram { repeated HistogramDataPoint data_points = 1; AggregationTemporality aggregation_temporality = 2; }
message NumberDataPoint {
  repeated KeyValue attributes = 7; fixed64 start_time_unix_nano = 2; fixed64 time_unix_nano = 3;
  oneof value { double as_double = 4; sfixed64 as_int = 6; }
}
message HistogramDataPoint {
  repeated KeyValue attributes = 9; fixed64 start_time_unix_nano = 2; fixed64 time_unix_nano = 3; fixed64 count = 4;
  double sum = 5; repeated fixed64 bucket_counts = 6; repeated double explicit_bounds = 7; repeated Exemplar exemplars = 8;
}
message Exemplar { fixed64 time_unix_nano = 2; double as_double = 3; bytes span_id = 4; bytes trace_id = 5; }
message KeyValue { string key = 1; AnyValue value = 2; }
message AnyValue { oneof value { string string_value = 1; bool bool_value = 2; int64 int_value = 3; double double_value = 4; } }
`;

const requestType = protobuf.parse(definition).root.lookupType("ExportMetricsServiceRequest");

interface WrittenPoint {
  readonly attributes?: readonly {
    readonly key: string;
    readonly value: Readonly<Record<string, unknown>>;
  }[];
  readonly startTimeUnixNano?: string;
  readonly timeUnixNano: string;
  readonly asDouble?: number;
  readonly count?: string;
  readonly sum?: number;
  readonly bucketCounts?: readonly string[];
  readonly explicitBounds?: readonly number[];
  readonly exemplars?: readonly { readonly traceId: string; readonly asDouble: number }[];
}

interface WrittenData {
  readonly dataPoints: readonly WrittenPoint[];
  readonly aggregationTemporality?: number;
  readonly isMonotonic?: boolean;
}

interface WrittenRequest {
  readonly resourceMetrics: readonly {
    readonly resource: { readonly attributes: NonNullable<WrittenPoint["attributes"]> };
    readonly scopeMetrics: readonly {
      readonly metrics: readonly ({ readonly name: string } & Partial<
        Record<"gauge" | "sum" | "histogram", WrittenData>
      >)[];
    }[];
  }[];
}

export interface ReceivedPoint {
  readonly name: string;
  readonly kind: "gauge" | "sum" | "histogram";
  /** `CUMULATIVE` = 2. */
  readonly temporality: number | undefined;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly resource: Readonly<Record<string, unknown>>;
  readonly startNanos: bigint;
  readonly nanos: bigint;
  /** The value; for a histogram, the count. */
  readonly value: number;
  readonly sum: number | undefined;
  readonly buckets: readonly number[];
  readonly bounds: readonly number[];
  /** Trace ids in hex. */
  readonly traces: readonly string[];
}

/** @param body an ExportMetricsServiceRequest */
export function decodeMetrics(body: Buffer, isJson: boolean): ReceivedPoint[] {
  const { resourceMetrics } = (
    isJson
      ? JSON.parse(body.toString())
      : requestType.toObject(requestType.decode(body), { bytes: String, longs: String, arrays: true })
  ) as WrittenRequest;
  const idOf = (text: string): string => (isJson ? text : Buffer.from(text, "base64").toString("hex"));
  return resourceMetrics.flatMap(({ resource, scopeMetrics }) =>
    scopeMetrics.flatMap(({ metrics }) =>
      metrics.flatMap(({ name, ...data }) =>
        (["gauge", "sum", "histogram"] as const).flatMap((kind) =>
          (data[kind]?.dataPoints ?? []).map((point) => ({
            ...pointOf(point, idOf),
            name,
            kind,
            temporality: data[kind]?.aggregationTemporality,
            resource: attributesOf(resource.attributes),
          })),
        ),
      ),
    ),
  );
}

function pointOf(point: WrittenPoint, idOf: (text: string) => string) {
  const {
    attributes = [],
    count,
    asDouble = 0,
    sum,
    bucketCounts = [],
    explicitBounds = [],
    exemplars = [],
  } = point;
  return {
    attributes: attributesOf(attributes),
    startNanos: BigInt(point.startTimeUnixNano ?? 0),
    nanos: BigInt(point.timeUnixNano),
    value: count === undefined ? asDouble : Number(count),
    sum,
    buckets: bucketCounts.map(Number),
    bounds: explicitBounds,
    traces: exemplars.map(({ traceId }) => idOf(traceId)),
  };
}

function attributesOf(list: NonNullable<WrittenPoint["attributes"]>): Record<string, unknown> {
  return Object.fromEntries(list.map(({ key, value }) => [key, Object.values(value)[0]]));
}
