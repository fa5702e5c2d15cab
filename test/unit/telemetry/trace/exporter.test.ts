// Export of spans to collectors that answer, refuse, drop connections, stay silent or do not exist.
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import type { Writable } from "node:stream";
import { describe, test } from "node:test";
import { status } from "@grpc/grpc-js";
import type { CarrierOptions } from "../../../../src/telemetry/otlp/delivery.ts";
import { SpanExporter } from "../../../../src/telemetry/trace/exporter.ts";
import { createGrpcCarrier } from "../../../../src/telemetry/otlp/grpc-carrier.ts";
import { ProtobufEncoder, tracesMethod } from "../../../../src/telemetry/trace/protobuf.ts";
import { createHttpCarrier } from "../../../../src/telemetry/otlp/http-carrier.ts";
import { JsonEncoder } from "../../../../src/telemetry/trace/json.ts";
import { type Span, spanKinds } from "../../../../src/telemetry/trace/span.ts";
import {
  type Collector,
  partialSuccess,
  startCollector,
  startGrpcCollector,
} from "../../../support/collector.ts";

const resource = { attributes: ["service.name", "shop"], scopeName: "outrigger", scopeVersion: "1.0.0" };
const spanOf = (name: string): Span => ({
  traceId: "0af7651916cd43dd8448eb211c80319c",
  spanId: "b7ad6b7169203331",
  parentId: undefined,
  isParentRemote: false,
  traceState: undefined,
  flags: 1,
  name,
  kind: spanKinds.server,
  epochMs: 1,
  fromMs: 0,
  toMs: 1,
  attributes: [],
  error: undefined,
});

interface Options {
  readonly encoding?: "protobuf" | "json";
  readonly over?: "http" | "grpc";
  readonly gzip?: boolean;
  readonly timeoutMs?: number;
  readonly maxQueueSpans?: number;
  readonly maxBatchSpans?: number;
}

/** An exporter with what it counted and said. */
function exporterTo(url: string, options: Options = {}) {
  const { encoding = "protobuf", over = "http", gzip = false, timeoutMs = 2_000 } = options;
  const counts = { exported: 0, dropped: 0, rejected: 0 };
  const lines: string[] = [];
  const say = (fields: Record<string, unknown>, text: string): void =>
    void lines.push(`${text} ${JSON.stringify(fields)}`);
  const encoder = encoding === "json" ? new JsonEncoder(resource) : new ProtobufEncoder(resource);
  const carrierOptions: CarrierOptions = {
    url: new URL(over === "grpc" ? url : `${url}/v1/traces`),
    headers: { "x-tenant": "a" },
    timeoutMs,
    gzip,
    grpcPath: tracesMethod,
    contentType: encoder.contentType,
    tls: {},
  };
  const exporter = new SpanExporter({
    encoder,
    carrier: over === "grpc" ? createGrpcCarrier(carrierOptions) : createHttpCarrier(carrierOptions),
    maxQueueSpans: options.maxQueueSpans ?? 100,
    maxBatchSpans: options.maxBatchSpans ?? 2,
    delayMs: 5,
    logger: { debug: say, info: say, warn: say, error: say },
    counted: (result) => ({ inc: (by = 1) => void (counts[result] += by) }),
    // No part of the jitter is waited for.
    random: () => -0.99,
  });
  return { exporter, counts, lines };
}

const has = (collector: Collector, name: string) => collector.span((span) => span.name === name);

describe("a collector that takes spans", () => {
  for (const options of [
    {},
    { gzip: true },
    { encoding: "json" },
    { over: "grpc" },
    { over: "grpc", gzip: true },
  ] as const satisfies Options[]) {
    test(`gets all of them: ${JSON.stringify(options)}`, async () => {
      await using collector = await ("over" in options ? startGrpcCollector() : startCollector());
      const { exporter, counts } = exporterTo(collector.url, options);
      for (const name of ["a", "b", "c"]) exporter.add(spanOf(name));
      await has(collector, "c");
      assert.deepEqual(
        collector.spans.map(({ name }) => name),
        ["a", "b", "c"],
      );
      assert.equal(collector.requests[0]?.headers["x-tenant"], "a");
      await exporter.close(1_000);
      assert.deepEqual(counts, { exported: 3, dropped: 0, rejected: 0 });
    });
  }

  test("gets what waits when the sidecar ends", async () => {
    await using collector = await startCollector();
    const { exporter, counts } = exporterTo(collector.url);
    exporter.add(spanOf("last"));
    await exporter.close(1_000);
    assert.deepEqual([collector.spans.length, counts.exported], [1, 1]);
    exporter.add(spanOf("too late"));
    assert.equal(counts.dropped, 1);
  });
});

describe("a collector that is in trouble", () => {
  for (const [what, answer] of [
    ["answers 503", { status: 503 }],
    ["answers 429 and asks for a pause", { status: 429, headers: { "retry-after": "0" } }],
    ["drops the connection", { instead: "reset" }],
    ["does not answer", { instead: "silence" }],
  ] as const) {
    test(`that ${what} gets the same spans again`, async () => {
      await using collector = await startCollector(answer, answer);
      const { exporter, counts, lines } = exporterTo(collector.url, { timeoutMs: 100 });
      exporter.add(spanOf("kept"));
      await has(collector, "kept");
      await exporter.close(1_000);
      assert.deepEqual([collector.requests.length, counts.exported, counts.dropped], [3, 1, 0]);
      assert.equal(
        lines.filter((line) => line.startsWith("spans cannot be sent")).length,
        1,
        lines.join("\n"),
      );
      assert.match(lines.at(-1) ?? "", /^the collector takes spans again/);
    });
  }

  test("that refuses spans for good is not asked again, and told of once", async () => {
    await using collector = await startCollector({ status: 413 }, { status: 413 });
    const { exporter, counts, lines } = exporterTo(collector.url);
    for (const name of ["a", "b", "c", "d"]) exporter.add(spanOf(name));
    await collector.requested(2);
    await exporter.close(1_000);
    assert.deepEqual([collector.requests.length, counts.dropped], [2, 4]);
    assert.equal(lines.length, 1);
    assert.match(lines[0] ?? "", /refuses spans.*HTTP status 413/);
  });

  test("that takes only some is told of, and counted", async () => {
    await using collector = await startCollector({ body: partialSuccess(1, "too\nold") });
    const { exporter, counts, lines } = exporterTo(collector.url);
    for (const name of ["a", "b"]) exporter.add(spanOf(name));
    await collector.requested(1);
    await exporter.close(1_000);
    assert.deepEqual(counts, { exported: 1, dropped: 0, rejected: 1 });
    assert.match(lines[0] ?? "", /rejected some.*"reason":"too old"/);
  });

  test("over gRPC is asked again for what may pass, and not for the rest", async () => {
    await using collector = await startGrpcCollector(status.UNAVAILABLE, status.INVALID_ARGUMENT);
    const { exporter, counts, lines } = exporterTo(collector.url, { over: "grpc", maxBatchSpans: 1 });
    exporter.add(spanOf("refused"));
    await collector.requested(2);
    exporter.add(spanOf("taken"));
    await has(collector, "taken");
    await exporter.close(1_000);
    assert.deepEqual(counts, { exported: 1, dropped: 1, rejected: 0 });
    assert.match(lines.join("\n"), /gRPC status 14[^]*gRPC status 3/);
  });

  test("that keeps silent costs no more memory than the queue, and no time at the end", async () => {
    const silence = Array.from({ length: 10 }, () => ({ instead: "silence" }) as const);
    await using collector = await startCollector(...silence);
    const { exporter, counts } = exporterTo(collector.url, { timeoutMs: 60_000, maxQueueSpans: 10 });
    for (let i = 0; i < 50; i += 1) exporter.add(spanOf(String(i)));
    await collector.requested(1);
    assert.equal(counts.dropped, 40);
    await exporter.close(20);
    assert.deepEqual([counts.exported, counts.dropped], [0, 50]);
  });

  test("that answers without end is not heard out, over HTTP and gRPC", async () => {
    for (const over of ["http", "grpc"] as const) {
      let sent = 0;
      const answer = (response: Writable): void => {
        const more = (): void => {
          while (!response.destroyed && response.write(Buffer.alloc(65_536, 1))) sent += 65_536;
        };
        response.on("drain", more).on("error", () => {});
        more();
      };
      const server =
        over === "http"
          ? http.createServer((request, response) => answer(request.resume() && response))
          : http2.createServer().on("stream", (stream: http2.ServerHttp2Stream) => {
              stream.respond({ ":status": 200, "content-type": "application/grpc" });
              answer(stream.resume());
            });
      await once(server.listen(0, "127.0.0.1"), "listening");
      const { port } = server.address() as AddressInfo;
      const { exporter, counts, lines } = exporterTo(`http://127.0.0.1:${port}`, { over, timeoutMs: 60_000 });
      exporter.add(spanOf("heard"));
      while (counts.exported === 0 && lines.length === 0)
        await new Promise((resolve) => setImmediate(resolve));
      assert.ok(sent < 50_000_000, String(sent));
      await exporter.close(1_000);
      server.close();
    }
  });

  test("that keeps failing is asked once for each request, until it takes one", async () => {
    await using collector = await startCollector(...Array.from({ length: 6 }, () => ({ status: 503 })));
    const { exporter, counts } = exporterTo(collector.url, { maxBatchSpans: 1 });
    for (const name of ["five tries", "one", "taken"]) exporter.add(spanOf(name));
    await has(collector, "taken");
    await exporter.close(1_000);
    assert.deepEqual([collector.requests.length, counts.exported, counts.dropped], [7, 1, 2]);
  });

  test("that is not there loses the spans after five tries, over HTTP and gRPC", async () => {
    for (const over of ["http", "grpc"] as const) {
      const { exporter, counts, lines } = exporterTo("http://127.0.0.1:1", { over, maxBatchSpans: 1 });
      exporter.add(spanOf("lost"));
      while (counts.dropped === 0) await new Promise((resolve) => setImmediate(resolve));
      await exporter.close(1_000);
      assert.match(lines.join("\n"), /ECONNREFUSED/);
    }
  });
});
