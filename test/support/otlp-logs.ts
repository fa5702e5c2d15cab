// Decodes log records as a collector gets them. protobufjs decodes from the public definition, so that the project's
// own code is not tested against itself.
import protobuf from "protobufjs";

// opentelemetry/proto/{collector/logs,logs,resource,common}/v1, as far as records with a text have it.
const definition = `
syntax = "proto3";
message ExportLogsServiceRequest { repeated ResourceLogs resource_logs = 1; }
message ResourceLogs { Resource resource = 1; repeated ScopeLogs scope_logs = 2; }
message Resource { repeated KeyValue attributes = 1; }
message ScopeLogs { InstrumentationScope scope = 1; repeated LogRecord log_records = 2; }
message InstrumentationScope { string name = 1; string version = 2; }
message LogRecord {
  fixed64 time_unix_nano = 1; fixed64 observed_time_unix_nano = 11; int32 severity_number = 2; string severity_text = 3;
  AnyValue body = 5; repeated KeyValue attributes = 6; bytes trace_id = 9; bytes span_id = 10; string event_name = 12;
}
message KeyValue { string key = 1; AnyValue value = 2; }
message AnyValue { oneof value { string string_value = 1; bool bool_value = 2; int64 int_value = 3; double double_value = 4; } }
`;

const requestType = protobuf.parse(definition).root.lookupType("ExportLogsServiceRequest");

type WrittenAttributes = readonly {
  readonly key: string;
  readonly value: Readonly<Record<string, unknown>>;
}[];

interface WrittenRequest {
  readonly resourceLogs: readonly {
    readonly resource: { readonly attributes: WrittenAttributes };
    readonly scopeLogs: readonly {
      readonly logRecords: readonly {
        readonly timeUnixNano: string;
        readonly severityNumber: number;
        readonly body: { readonly stringValue: string };
        readonly attributes: WrittenAttributes;
        readonly traceId?: string;
        readonly eventName: string;
      }[];
    }[];
  }[];
}

export interface ReceivedLog {
  readonly body: string;
  readonly event: string;
  readonly severity: number;
  readonly nanos: bigint;
  /** Trace id in hex. */
  readonly traceId: string;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly resource: Readonly<Record<string, unknown>>;
}

/** @param body an ExportLogsServiceRequest */
export function decodeLogs(body: Buffer, isJson: boolean): ReceivedLog[] {
  const { resourceLogs } = (
    isJson
      ? JSON.parse(body.toString())
      : requestType.toObject(requestType.decode(body), { bytes: String, longs: String, arrays: true })
  ) as WrittenRequest;
  const idOf = (text: string): string => (isJson ? text : Buffer.from(text, "base64").toString("hex"));
  return resourceLogs.flatMap(({ resource, scopeLogs }) =>
    scopeLogs.flatMap(({ logRecords }) =>
      logRecords.map((record) => ({
        body: record.body.stringValue,
        event: record.eventName,
        severity: record.severityNumber,
        nanos: BigInt(record.timeUnixNano),
        traceId: idOf(record.traceId ?? ""),
        attributes: attributesOf(record.attributes),
        resource: attributesOf(resource.attributes),
      })),
    ),
  );
}

function attributesOf(list: WrittenAttributes): Record<string, unknown> {
  return Object.fromEntries(list.map(({ key, value }) => [key, Object.values(value)[0]]));
}
