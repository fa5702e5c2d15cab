// The access line in each format: the same members, the same redaction, one line whatever clients send, and readable by
// programs that read that format.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import protobuf from "protobufjs";
import { compileFormat } from "../../../plugins/logging/formats.ts";
import { compileMembers, type LineExtra } from "../../../plugins/logging/members.ts";
import { loggingOptions } from "../../../plugins/logging/options.ts";
import { compileRedaction } from "../../../plugins/logging/redact.ts";
import { GatewayError, type LogFormat, type Outcome } from "../../../src/plugin-api/contract.ts";
import { exchangeOf, outcomeOf, type ExchangeFacts } from "../../support/exchange.ts";
import { anyRoute } from "../../support/route.ts";

const fleet = { service: "users", instance: "pod-1", size: () => 1 };
const route = { ...anyRoute, pattern: "/api/users/*" };
const noon = Date.UTC(2026, 0, 2, 12, 0, 0, 7);
const formats = ["json", "ecs", "otel", "clf"] as const;

interface Case {
  readonly options?: object;
  readonly facts?: ExchangeFacts;
  readonly outcome?: Partial<Outcome>;
  readonly level?: number;
  readonly extra?: LineExtra;
}

const exchangeFor = ({ facts = {} }: Case) => Object.assign(exchangeOf(facts), { startedAt: noon });

function lineOf(format: LogFormat, given: Case = {}): string {
  const line = compileFormat(format, loggingOptions.parse(given.options ?? {}), route, fleet);
  return line(exchangeFor(given), outcomeOf(given.outcome), given.level ?? 30, given.extra);
}

const parsed = (format: LogFormat, given: Case = {}) =>
  JSON.parse(lineOf(format, given)) as Record<string, unknown>;

const full: Case = {
  options: { sample: 0.5, query: true },
  facts: {
    id: "r-1",
    path: "/api/users/7",
    query: "?q=1&token=s3cret",
    host: "api.example:8443",
    identity: { userId: "u7", credentialId: "k1" },
    fields: ["User-Agent", "curl"],
    upgrade: "websocket",
  },
  outcome: {
    status: 503,
    durationMs: 12.34567,
    upstreamMs: 9,
    requestBytes: 5,
    responseBytes: 300,
    grpcStatus: 14,
    requestMessages: 3,
    responseMessages: 2,
    closeCode: 1001,
    closedBy: "sidecar",
    retries: 1,
    answeredBy: "auth",
    error: new GatewayError("upstream_unavailable", "No.", {
      cause: Object.assign(new Error("s3cret"), { code: "ECONNREFUSED" }),
    }),
  },
  level: 50,
  extra: {
    requestHeaders: [["accept", "text/plain"]],
    responseHeaders: [["etag", '"1"']],
    pluginMs: [["auth", 11.5]],
  },
};

test("json has the members that the other formats have", () => {
  for (const given of [full, {}]) {
    const options = loggingOptions.parse(given.options ?? {});
    const membersOf = compileMembers(options, route, compileRedaction([], route));
    const members = membersOf(exchangeFor(given), outcomeOf(given.outcome), given.extra);
    const plain = members.map(([name, value]) => [
      name,
      typeof value === "object" ? Object.fromEntries(value) : value,
    ]);
    const { level, time, timestamp, msg, service, instance, userId, ...rest } = parsed("json", given);
    assert.ok(level && time && timestamp && msg && service && instance);
    assert.deepEqual(userId === null ? rest : { ...rest, userId }, Object.fromEntries(plain));
  }
});

test("ecs: names of the schema, and outrigger's own", () => {
  assert.deepEqual(parsed("ecs", full), {
    "@timestamp": "2026-01-02T12:00:00.019Z",
    "log.level": "error",
    message: "request",
    "ecs.version": "8.11.0",
    "service.name": "users",
    "service.node.name": "pod-1",
    "event.kind": "event",
    "event.category": ["web"],
    "event.type": ["access"],
    "event.outcome": "failure",
    "event.duration": 12_346_000,
    "url.scheme": "http",
    "url.domain": "api.example",
    "url.port": 8443,
    "url.path": "/api/users/7",
    "url.query": "q=1&token=[redacted]",
    "http.version": "1.1",
    "http.request.method": "GET",
    "http.request.id": "r-1",
    "http.request.body.bytes": 5,
    "http.response.body.bytes": 300,
    "http.response.status_code": 503,
    "client.address": "192.0.2.7",
    "client.ip": "192.0.2.7",
    "user.id": "u7",
    "user_agent.original": "curl",
    "error.code": "upstream_unavailable",
    "outrigger.error_cause": "ECONNREFUSED",
    "outrigger.route": "/api/users/*",
    "outrigger.upstream": "127.0.0.1:3000",
    "outrigger.end": "complete",
    "outrigger.sample": 0.5,
    "outrigger.credential_id": "k1",
    "outrigger.upgrade": "websocket",
    "outrigger.grpc_status": 14,
    "outrigger.request_messages": 3,
    "outrigger.response_messages": 2,
    "outrigger.close_code": 1001,
    "outrigger.closed_by": "sidecar",
    "outrigger.upstream_ms": 9,
    "outrigger.retries": 1,
    "outrigger.answered_by": "auth",
    "outrigger.request_headers": { accept: "text/plain" },
    "outrigger.response_headers": { etag: '"1"' },
    "outrigger.plugin_ms": { auth: 11.5 },
  });
});

test("ecs: a field of a type gets nothing that is not of it", () => {
  const left = parsed("ecs", { facts: { address: "unix" }, outcome: { status: 0, end: "client-aborted" } });
  assert.equal(left["client.address"], "unix");
  assert.equal(left["client.ip"], undefined);
  assert.equal(left["http.response.status_code"], undefined);
  assert.equal(parsed("ecs", { options: { redact: ["clientIp"] } })["client.ip"], undefined);
});

// opentelemetry/proto/{collector/logs,logs,resource,common}/v1
const logs = protobuf
  .parse(`
syntax = "proto3";
message ExportLogsServiceRequest { repeated ResourceLogs resource_logs = 1; }
message ResourceLogs { Resource resource = 1; repeated ScopeLogs scope_logs = 2; string schema_url = 3; }
message Resource { repeated KeyValue attributes = 1; uint32 dropped_attributes_count = 2; }
message ScopeLogs { InstrumentationScope scope = 1; repeated LogRecord log_records = 2; string schema_url = 3; }
message InstrumentationScope { string name = 1; string version = 2; repeated KeyValue attributes = 3; }
message LogRecord {
  fixed64 time_unix_nano = 1; fixed64 observed_time_unix_nano = 11; int32 severity_number = 2; string severity_text = 3;
  AnyValue body = 5; repeated KeyValue attributes = 6; uint32 dropped_attributes_count = 7; fixed32 flags = 8;
  string trace_id = 9; string span_id = 10; string event_name = 12;
}
message KeyValue { string key = 1; AnyValue value = 2; }
message ArrayValue { repeated AnyValue values = 1; }
message AnyValue {
  oneof value { string string_value = 1; bool bool_value = 2; int64 int_value = 3; double double_value = 4; ArrayValue array_value = 5; }
}`)
  .root.lookupType("ExportLogsServiceRequest");

test("otel: an export request by the published definition, attributes by the conventions", () => {
  const exchange = exchangeFor(full);
  const trace = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331", sampled: true };
  const line = compileFormat("otel", loggingOptions.parse(full.options), route, fleet);
  const traced = Object.create(exchange, { trace: { value: trace } }) as typeof exchange;
  const given = JSON.parse(line(traced, outcomeOf(full.outcome), 50, full.extra)) as Record<string, unknown>;
  // Whatever the definition does not know would be missing.
  assert.deepEqual(logs.toObject(logs.fromObject(given), { longs: String, defaults: false }), given);
  const { resourceLogs } = given as {
    resourceLogs: [{ resource: unknown; scopeLogs: [{ logRecords: [Record<string, unknown>] }] }];
  };
  const { attributes, ...record } = resourceLogs[0].scopeLogs[0].logRecords[0];
  assert.deepEqual(record, {
    timeUnixNano: `${noon + 12}000000`,
    severityNumber: 17,
    severityText: "ERROR",
    body: { stringValue: "request" },
    traceId: trace.traceId,
    spanId: trace.spanId,
    flags: 1,
  });
  const shown = (attributes as { key: string; value: Record<string, unknown> }[]).map(
    ({ key, value }) => `${key} ${JSON.stringify(Object.values(value)[0])}`,
  );
  for (const expected of [
    'http.request.method "GET"',
    'http.response.status_code "503"',
    'http.route "/api/users/*"',
    'url.query "q=1&token=[redacted]"',
    'server.address "api.example"',
    'server.port "8443"',
    'client.address "192.0.2.7"',
    'user.id "u7"',
    'error.type "upstream_unavailable"',
    'rpc.grpc.status_code "14"',
    "outrigger.duration_ms 12.346",
    'outrigger.close_code "1001"',
    'http.request.header.accept {"values":[{"stringValue":"text/plain"}]}',
    "outrigger.plugin_ms.auth 11.5",
  ])
    assert.ok(shown.includes(expected), `${expected} of\n${shown.join("\n")}`);
});

const combined =
  /^(\S+) - (\S+) \[(\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d \+0000)\] "([^" ]+) ([^" ]*) HTTP\/(\d\.\d)" (\d{3}) (\d+|-) "([^"]*)" "([^"]*)" "([^"]*)" ([\d.]+) ([a-z-]+)(?: "slow ([^"]*)")?$/;
const unescaped = (item: string): string =>
  Buffer.from(
    item.replace(/\\x([0-9A-F]{2})/g, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    "latin1",
  ).toString();

test("clf: the combined format, with id, time, end and the slow ones' plugins behind it", () => {
  assert.equal(
    lineOf("clf", {
      ...full,
      extra: {
        requestHeaders: [["referer", "https://a.example/"]],
        pluginMs: [
          ["auth", 11.5],
          ["cache", 0.01],
        ],
      },
    }),
    '192.0.2.7 - u7 [02/Jan/2026:12:00:00 +0000] "GET /api/users/7?q=1&token=[redacted] HTTP/1.1" 503 300 ' +
      '"https://a.example/" "curl" "r-1" 12.346 complete "slow auth=11.5 cache=0.01"',
  );
  assert.equal(
    lineOf("clf", { outcome: { status: 0, end: "client-aborted" } }),
    '192.0.2.7 - - [02/Jan/2026:12:00:00 +0000] "GET / HTTP/1.1" 499 - "-" "-" "request-1" 1.5 client-aborted',
  );
});

test("whatever clients send, a line of clf is one of its form, with those very values", () => {
  // Text of bytes that a request can hold, and text of a token.
  const text = fc.string({ unit: "binary", maxLength: 30 }).filter((value) => value.isWellFormed());
  const forged = fc.constantFrom(
    '" 200 1 "-" "x"\n10.0.0.1 - admin [',
    "\\x22",
    "a b",
    "\r\n",
    '\u0085"',
    "\u001b[2J",
  );
  const any = fc.oneof(text, forged);
  fc.assert(
    fc.property(any, any, any, any, (path, agent, userId, id) => {
      const line = lineOf("clf", {
        facts: { path: `/${path}`, fields: ["User-Agent", agent], identity: { userId }, id },
      });
      assert.match(line, /^[\x20-\x7e]*$/);
      const [, , user, , , shownPath, , , , , shownAgent, shownId] = combined.exec(line) ?? [];
      const expected = [userId, `/${path}`, agent, id].map((value) => (value === "" ? "-" : value));
      assert.deepEqual(
        [user, shownPath, shownAgent, shownId].map((item) => unescaped(item ?? "")),
        expected,
        line,
      );
    }),
  );
});

test("in every format a line is one line, and what is redacted shows nowhere", () => {
  const secret = "S3CRET";
  const text = fc.string({ unit: "binary", maxLength: 20 });
  const redact = ["path", "host", "clientIp", "userId", "credentialId", "userAgent", "session"];
  fc.assert(
    fc.property(text, text, (one, other) => {
      const value = `${one}${secret}${other}`;
      for (const format of formats) {
        const open = lineOf(format, {
          facts: { id: value, path: value, host: value, fields: ["User-Agent", value] },
        });
        assert.doesNotMatch(open, /[\n\r\u0085\u2028\u2029]/);
        const line = lineOf(format, {
          options: { redact, query: true },
          facts: {
            path: value,
            host: value,
            address: value,
            query: `?session=${secret}&token=${secret}`,
            fields: ["User-Agent", value],
            identity: { userId: value, credentialId: value },
          },
        });
        assert.doesNotMatch(line, new RegExp(secret), format);
        assert.match(line, /\[redacted\]/);
      }
    }),
  );
});
