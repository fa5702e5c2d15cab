// A collector of the OpenTelemetry protocol, over HTTP and gRPC. protobufjs decodes the requests from the public
// definition, so that the project's own code is not tested against itself.
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { gunzipSync } from "node:zlib";
import { type sendUnaryData, Server, ServerCredentials, type ServerUnaryCall, status } from "@grpc/grpc-js";
import protobuf from "protobufjs";
import { decodeLogs, type ReceivedLog } from "./otlp-logs.ts";
import { decodeMetrics, type ReceivedPoint } from "./otlp-metrics.ts";

// opentelemetry/proto/{collector/trace,trace,resource,common}/v1, as far as spans without events and links have it.
const definition = `
syntax = "proto3";
message ExportTraceServiceRequest { repeated ResourceSpans resource_spans = 1; }
message ExportTraceServiceResponse { ExportTracePartialSuccess partial_success = 1; }
message ExportTracePartialSuccess { int64 rejected_spans = 1; string error_message = 2; }
message ResourceSpans { Resource resource = 1; repeated ScopeSpans scope_spans = 2; string schema_url = 3; }
message Resource { repeated KeyValue attributes = 1; uint32 dropped_attributes_count = 2; }
message ScopeSpans { InstrumentationScope scope = 1; repeated Span spans = 2; string schema_url = 3; }
message InstrumentationScope { string name = 1; string version = 2; repeated KeyValue attributes = 3; }
message Span {
  bytes trace_id = 1; bytes span_id = 2; string trace_state = 3; bytes parent_span_id = 4; string name = 5;
  enum SpanKind { UNSPECIFIED = 0; INTERNAL = 1; SERVER = 2; CLIENT = 3; PRODUCER = 4; CONSUMER = 5; }
  SpanKind kind = 6; fixed64 start_time_unix_nano = 7; fixed64 end_time_unix_nano = 8;
  repeated KeyValue attributes = 9; Status status = 15; fixed32 flags = 16;
}
message Status { string message = 2; enum StatusCode { UNSET = 0; OK = 1; ERROR = 2; } StatusCode code = 3; }
message KeyValue { string key = 1; AnyValue value = 2; }
message AnyValue { oneof value { string string_value = 1; bool bool_value = 2; int64 int_value = 3; double double_value = 4; } }
`;

const types = protobuf.parse(definition).root;
const requestType = types.lookupType("ExportTraceServiceRequest");
const responseType = types.lookupType("ExportTraceServiceResponse");

export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId: string;
  readonly traceState: string;
  readonly name: string;
  readonly kind: string;
  /** Start in nanoseconds since 1970. */
  readonly startNanos: bigint;
  readonly endNanos: bigint;
  readonly flags: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly error: string | undefined;
  readonly resource: Readonly<Record<string, unknown>>;
}

/** @param body an ExportTraceServiceRequest in protobuf */
export function decodeSpans(body: Buffer): ReceivedSpan[] {
  const plain = requestType.toObject(requestType.decode(body), {
    bytes: String,
    longs: String,
    enums: String,
    defaults: true,
  }) as WrittenRequest;
  return spansOf(plain, (text) => Buffer.from(text, "base64").toString("hex"));
}

interface WrittenAttribute {
  readonly key: string;
  readonly value: Readonly<Record<string, unknown>>;
}

/** A span as both encodings have it, as far as they agree. */
interface WrittenSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly traceState?: string;
  readonly name: string;
  readonly kind: string | number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly flags: number;
  readonly attributes: readonly WrittenAttribute[];
  readonly status?: { readonly message?: string } | null;
}

interface WrittenRequest {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly WrittenAttribute[] };
    readonly scopeSpans: readonly { readonly spans: readonly WrittenSpan[] }[];
  }[];
}

/** @param idOf turns an id of that encoding into hex */
function spansOf({ resourceSpans }: WrittenRequest, idOf: (text: string) => string): ReceivedSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) =>
      spans.map((span) => ({
        traceId: idOf(span.traceId),
        spanId: idOf(span.spanId),
        parentId: idOf(span.parentSpanId ?? ""),
        traceState: span.traceState ?? "",
        name: span.name,
        kind: String(span.kind),
        startNanos: BigInt(span.startTimeUnixNano),
        endNanos: BigInt(span.endTimeUnixNano),
        flags: span.flags,
        attributes: attributesOf(span.attributes),
        error: span.status?.message || undefined,
        resource: attributesOf(resource.attributes),
      })),
    ),
  );
}

function attributesOf(list: readonly WrittenAttribute[]): Record<string, unknown> {
  return Object.fromEntries(list.map(({ key, value }) => [key, Object.values(value)[0]]));
}

export interface CollectorAnswer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
  /** Instead of an answer: the connection is dropped, or stays open in silence. */
  readonly instead?: "reset" | "silence";
}

/** The answer of a collector that rejected some of the spans. */
export function partialSuccess(rejectedSpans: number, errorMessage: string): Buffer {
  return Buffer.from(responseType.encode({ partialSuccess: { rejectedSpans, errorMessage } }).finish());
}

export interface Collector extends AsyncDisposable {
  /** Value for OTEL_EXPORTER_OTLP_ENDPOINT. */
  readonly url: string;
  readonly spans: ReceivedSpan[];
  /** All values of each accepted metrics request. */
  readonly metrics: (readonly ReceivedPoint[])[];
  readonly logs: ReceivedLog[];
  /** All requests, including refused ones. */
  readonly requests: { readonly path: string; readonly headers: http.IncomingHttpHeaders }[];
  /** Resolves when the collector has a matching span. */
  span(matches: (span: ReceivedSpan) => boolean): Promise<ReceivedSpan>;
  /** Resolves when the collector has received so many requests. */
  requested(count: number): Promise<void>;
}

/** @param answers to the first requests, in order; later requests are accepted */
export async function startCollector(...answers: CollectorAnswer[]): Promise<Collector> {
  const told = new Told();
  const take = async (request: http.IncomingMessage, response: http.ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const { status = 200, headers, body, instead } = answers.shift() ?? {};
    const sent = Buffer.concat(chunks);
    const message = request.headers["content-encoding"] === "gzip" ? gunzipSync(sent) : sent;
    const isJson = request.headers["content-type"] === "application/json";
    const isTaken = status < 300 && instead === undefined;
    if (isTaken && request.url?.endsWith("/v1/metrics")) told.metrics.push(decodeMetrics(message, isJson));
    else if (isTaken && request.url?.endsWith("/v1/logs")) told.logs.push(...decodeLogs(message, isJson));
    else if (isTaken && isJson) told.add(spansOf(JSON.parse(message.toString()) as WrittenRequest, String));
    else if (isTaken) told.add(decodeSpans(message));
    told.requested({ path: request.url ?? "", headers: request.headers });
    if (instead === "reset") request.socket.resetAndDestroy();
    else if (instead === undefined) response.writeHead(status, headers).end(body);
  };
  const server = http.createServer((request, response) => {
    take(request, response).catch((error: unknown) => response.destroy(error as Error));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return told.collector((server.address() as AddressInfo).port, async () => {
    server.closeAllConnections();
    server.close();
  });
}

/** @param codes gRPC statuses for the first calls; 0 = accepted, as all later calls are */
export async function startGrpcCollector(...codes: status[]): Promise<Collector> {
  const told = new Told();
  const server = new Server();
  const plain = (bytes: Buffer): Buffer => bytes;
  const serve = (path: string, take: (request: Buffer) => void): void => {
    const method = {
      path,
      requestStream: false,
      responseStream: false,
      requestSerialize: plain,
      requestDeserialize: plain,
      responseSerialize: plain,
      responseDeserialize: plain,
    };
    server.addService(
      { Export: method },
      {
        Export({ request, metadata }: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>) {
          const code = codes.shift() ?? status.OK;
          if (code === status.OK) take(request);
          told.requested({ path, headers: metadata.getMap() as http.IncomingHttpHeaders });
          if (code === status.OK) callback(null, Buffer.from(responseType.encode({}).finish()));
          else callback({ code, details: "as the test says" });
        },
      },
    );
  };
  const services = "/opentelemetry.proto.collector";
  serve(`${services}.trace.v1.TraceService/Export`, (request) => told.add(decodeSpans(request)));
  serve(`${services}.logs.v1.LogsService/Export`, (request) => told.logs.push(...decodeLogs(request, false)));
  serve(`${services}.metrics.v1.MetricsService/Export`, (request) =>
    told.metrics.push(decodeMetrics(request, false)),
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return told.collector(port, async () => server.forceShutdown());
}

class Told {
  readonly #spans: ReceivedSpan[] = [];
  readonly #requests: Collector["requests"] = [];
  readonly metrics: (readonly ReceivedPoint[])[] = [];
  readonly logs: ReceivedLog[] = [];
  readonly #waiting = new Set<() => void>();

  add(spans: readonly ReceivedSpan[]): void {
    this.#spans.push(...spans);
  }

  requested(request: Collector["requests"][number]): void {
    this.#requests.push(request);
    for (const look of this.#waiting) look();
  }

  collector(port: number, close: () => Promise<void>): Collector {
    return {
      url: `http://127.0.0.1:${port}`,
      spans: this.#spans,
      metrics: this.metrics,
      logs: this.logs,
      requests: this.#requests,
      span: (matches) => this.#until(() => this.#spans.find(matches)),
      requested: async (count) => {
        await this.#until(() => this.#requests.length >= count || undefined);
      },
      [Symbol.asyncDispose]: close,
    };
  }

  #until<T>(look: () => T | undefined): Promise<T> {
    return new Promise((resolve) => {
      const check = (): void => {
        const found = look();
        if (found === undefined) return;
        this.#waiting.delete(check);
        resolve(found);
      };
      this.#waiting.add(check);
      check();
    });
  }
}
