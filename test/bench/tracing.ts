// Measures what tracing costs a request, in CPU of this process: `node test/bench/tracing.ts`. The spans go to a sink
// that drops the encoded batches, so only the sending is left out, which is one request for 512 spans.
import type { Outcome } from "../../src/plugin-api/contract.ts";
import { ProtobufEncoder } from "../../src/telemetry/trace/protobuf.ts";
import type { Span } from "../../src/telemetry/trace/span.ts";
import { Tracer } from "../../src/telemetry/trace/tracer.ts";
import { exchangeOf } from "../../src/testing/exchange.ts";

const goals = { unsampled: 0.7, sampled: 6 };
const rounds = 15;
const requests = 20_000;
const agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36";
const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";
const outcome: Outcome = {
  status: 200,
  end: "complete",
  durationMs: 3.2,
  upstreamMs: 2.1,
  requestBytes: 0,
  responseBytes: 300,
  answeredBy: undefined,
  error: undefined,
};

const encoder = new ProtobufEncoder({
  attributes: ["service.name", "shop"],
  scopeName: "outrigger",
  scopeVersion: "1",
});
const sink = {
  add(span: Span): void {
    encoder.add(span);
    if (encoder.count >= 512) encoder.take();
  },
};
const tracer = new Tracer({
  propagators: ["tracecontext", "baggage"],
  sampler: { byParent: true, ratio: 1 },
  sink,
  droppedBaggage: { inc: () => {} },
});

/** @returns microseconds of CPU for one request: for tracing, and for the other work of a round */
function round(flags: string, traces: boolean): number {
  const head = ["Host", "shop.test", "User-Agent", agent, "Accept", "*/*", "traceparent", parent];
  const exchange = exchangeOf({ method: "GET", path: "/api/users/7", fields: head });
  const { fields } = exchange.request;
  const incoming = `${parent}-${flags}`;
  const startedAt = process.cpuUsage();
  for (let i = 0; i < requests; i += 1) {
    fields.set("traceparent", incoming);
    if (!traces) continue;
    const trace = tracer.begin(exchange);
    trace.sent(fields, exchange.startedMono + 0.2);
    trace.answered(fields);
    trace.ended(exchange, outcome);
  }
  const { user, system } = process.cpuUsage(startedAt);
  return (user + system) / requests;
}

const lowest = (flags: string, traces: boolean): number =>
  Math.min(...Array.from({ length: rounds }, () => round(flags, traces)));

const empty = lowest("00", false);
const rows = [
  ["an unsampled request", "00", goals.unsampled],
  ["a sampled request (two spans, protobuf)", "01", goals.sampled],
] as const;
for (const [what, flags, goal] of rows) {
  const micros = lowest(flags, true) - empty;
  const verdict = micros <= goal ? "met" : "missed";
  console.log(`${what}: ${micros.toFixed(2)} µs (goal ${goal}: ${verdict})`);
}
