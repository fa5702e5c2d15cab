// Calls whose stream an HTTP/2 service refused before it looked at it: they may be sent again, whatever they would do.
import assert from "node:assert/strict";
import { once } from "node:events";
import http2, { type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { createMetrics } from "../../../../src/telemetry/metrics.ts";
import { RetryBudget } from "../../../../src/upstream/retry/budget.ts";
import { Retries } from "../../../../src/upstream/retry/retries.ts";
import { RetryingTransport } from "../../../../src/upstream/retry/retrying-transport.ts";
import { retryRules } from "../../../../src/upstream/retry/rules.ts";
import { WaitingCalls } from "../../../../src/upstream/retry/waiting-calls.ts";
import { systemTime } from "../../../../src/upstream/time.ts";
import { createTransport } from "../../../../src/upstream/transports.ts";

const { NGHTTP2_REFUSED_STREAM, NGHTTP2_CANCEL } = http2.constants;

/** @param code with which the service ends its first stream @returns what becomes of a streamed call of gRPC */
async function askOver(t: TestContext, code: number): Promise<{ got: string; asked: number }> {
  const sessions = new Set<ServerHttp2Session>();
  const server = http2.createServer();
  let asked = 0;
  server.on("session", (session) => sessions.add(session));
  server.on("stream", (stream: ServerHttp2Stream) => {
    stream.on("error", () => {});
    asked += 1;
    if (asked === 1) return stream.close(code);
    let body = "";
    stream.on("data", (chunk: Buffer) => (body += chunk.toString()));
    stream.on("end", () => {
      stream.respond({ ":status": 200, "content-type": "application/grpc" });
      stream.end(body);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const target = { tls: false, host: "127.0.0.1", port, socketPath: undefined, name: "orders" };
  const options = { maxConnections: 1, maxQueued: 10, idleTimeoutMs: 1_000 };
  const transport = createTransport({ ...target, protocol: "h2c" }, options);
  t.after(() => {
    transport.close();
    for (const session of sessions) session.destroy();
    server.close();
  });
  const retrying = new RetryingTransport({
    transport,
    waiting: new WaitingCalls(transport, systemTime),
    rules: retryRules({ budget: 100, backoffMs: 0 }, 1_000),
    route: "/*",
    retries: new Retries(createMetrics({ service: "test" }), systemTime, () => 0),
    budget: new RetryBudget(),
  });
  const got = await new Promise<string>((resolve) => {
    let text = "";
    const call = retrying.send(
      {
        method: "POST",
        target: "/shop.Orders/Add",
        fields: ["host", "orders", "content-type", "application/grpc"],
        body: "stream",
        connectTimeoutMs: 5_000,
        timeoutMs: 5_000,
      },
      {
        onInterim: () => {},
        onHead: () => {},
        onData: (chunk) => {
          text += chunk.toString();
          return true;
        },
        onEnd: () => resolve(text),
        onFail: (error) => resolve(error.code),
        onDrain: () => {},
        mayKeep: () => true,
      },
    );
    call.write(Buffer.from("one more"));
    call.end();
  });
  return { got, asked };
}

test("a call of gRPC whose stream was refused unseen is sent again with what was streamed", async (t) => {
  assert.deepEqual(await askOver(t, NGHTTP2_REFUSED_STREAM), { got: "one more", asked: 2 });
});

test("one whose stream the service broke off otherwise is not", async (t) => {
  assert.deepEqual(await askOver(t, NGHTTP2_CANCEL), { got: "upstream_reset", asked: 1 });
});
