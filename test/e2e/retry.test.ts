// Routes with `retry`: real services that die, come back, answer 503 or break off, and what callers get.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, test } from "node:test";
import {
  Client,
  credentials,
  Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type sendUnaryData,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";
import { makeCertificate } from "../support/certificate.ts";
import { startCollector } from "../support/collector.ts";
import { eventually } from "../support/redis.ts";
import { type Handle, RestartingService } from "../support/restarting-service.ts";

const sidecarTo = (
  upstream: string,
  retry: Record<string, unknown> = {},
  env: Record<string, string> = {},
  route: Record<string, unknown> = {},
): Promise<TestSidecar> =>
  startSidecar({
    policy: { plugins: ["logging"], routes: [{ path: "/*", retry, ...route }] },
    upstream,
    env: { OUTRIGGER_UPSTREAM_CONNECT_TIMEOUT_MS: "500", ...env },
  });

async function started(protocol: "http1" | "h2c" | "h2", handle: Handle): Promise<RestartingService> {
  const service = new RestartingService(protocol, handle, protocol === "h2" ? makeCertificate() : undefined);
  await service.start();
  return service;
}

const retries = async (sidecar: TestSidecar, reason: string, result: string): Promise<number> => {
  const line = new RegExp(
    `^outrigger_retries_total\\{.*reason="${reason}",result="${result}".*\\} (\\d+)$`,
    "m",
  );
  return Number(line.exec(await sidecar.metrics())?.[1] ?? 0);
};

describe(
  "a service that is away for two seconds costs callers of what may be repeated no error",
  { concurrency: true },
  () => {
    for (const protocol of ["http1", "h2c", "h2"] as const) {
      test(protocol, async () => {
        await using service = await started(protocol, (_request, response) => {
          setTimeout(() => response.writeHead(204).end(), 5);
        });
        await using sidecar = await sidecarTo(service.url, {}, { OUTRIGGER_UPSTREAM_PROTOCOL: protocol });
        const done = new AbortController();
        const statuses = new Map<number, number>();
        const caller = async (): Promise<void> => {
          while (!done.signal.aborted) {
            const answer = await fetch(sidecar.url);
            await answer.text();
            statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
          }
        };
        const callers = Array.from({ length: 8 }, caller);
        await eventually("traffic", () => service.asked > 50);
        service.stop();
        // How long it is away is what the test is about.
        await sleep(2_000);
        const before = service.asked;
        await service.start();
        await eventually("traffic again", () => service.asked > before + 50);
        done.abort();
        await Promise.all(callers);
        assert.deepEqual([...statuses.keys()], [204], JSON.stringify([...statuses]));
        assert.ok((await retries(sidecar, "connect-failure", "waited")) > 0);
      });
    }
  },
);

test("who may not be repeated is told at once, and who waits in vain after a while", async () => {
  await using service = await started("http1", (_request, response) => response.end());
  await using sidecar = await sidecarTo(service.url, { holdMs: 200 });
  service.stop();
  const posted = await fetch(sidecar.url, { method: "POST", body: "x" });
  assert.equal(posted.status, 502);
  assert.equal((await fetch(sidecar.url)).status, 502);
  const [first, second] = [
    await sidecar.line(({ method }) => method === "POST"),
    await sidecar.line(({ method }) => method === "GET"),
  ];
  assert.ok(Number(first["durationMs"]) < 150, String(first["durationMs"]));
  assert.ok(Number(second["durationMs"]) >= 200, String(second["durationMs"]));
});

test("503 is asked again, seen in the log, the metric and the trace", async () => {
  await using collector = await startCollector();
  const parents: unknown[] = [];
  await using service = await started("http1", (request, response) => {
    parents.push(request.headers["traceparent"]);
    response.statusCode = parents.length < 3 ? 503 : 200;
    response.end(String(parents.length));
  });
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_BSP_SCHEDULE_DELAY: "5" };
  await using sidecar = await sidecarTo(service.url, { backoffMs: 1 }, env);
  assert.equal(await (await fetch(sidecar.url)).text(), "3");
  assert.equal((await sidecar.line(({ msg }) => msg === "request"))["retries"], 2);
  assert.equal(await retries(sidecar, "gateway-error", "sent"), 2);
  for (const [at, error] of [
    [undefined, "gateway-error"],
    ["1", "gateway-error"],
    ["2", undefined],
  ] as const) {
    const span = await collector.span(
      ({ kind, attributes }) => kind === "CLIENT" && attributes["http.request.resend_count"] === at,
    );
    assert.deepEqual([span.error, span.attributes["error.type"]], [error, error]);
    assert.ok(String(parents[Number(at ?? 0)]).includes(span.spanId));
  }
});

test("bodies are sent again byte for byte, taken in whole, streamed, and not past the limit", async () => {
  const bodies: string[] = [];
  await using service = await started("http1", (request, response) => {
    let text = "";
    request.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
    request.on("end", () => {
      bodies.push(text);
      if (bodies.length % 2 === 1) request.socket.destroy();
      else response.end("stored");
    });
  });
  await using sidecar = await sidecarTo(service.url, { backoffMs: 1 }, {}, { bufferRequestBytes: 1_000 });
  const put = (body: string | ReadableStream): Promise<Response> =>
    fetch(sidecar.url, { method: "PUT", body, duplex: "half" });
  const streamed = (...parts: string[]): ReadableStream =>
    ReadableStream.from(parts.map((part) => Buffer.from(part)));
  assert.equal((await put("whole")).status, 200);
  assert.equal((await put(streamed("a", "b", "c"))).status, 200);
  assert.deepEqual(bodies, ["whole", "whole", "abc", "abc"]);
  assert.equal((await put("x".repeat(1_001))).status, 502);
  assert.equal(await retries(sidecar, "reset", "body_not_kept"), 1);
});

test("what broke off in the middle of its body is not asked for again", async () => {
  await using service = await started("http1", (_request, response) => {
    response.writeHead(200, { "content-length": "10" });
    response.write("half", () => response.destroy());
  });
  await using sidecar = await sidecarTo(service.url);
  await assert.rejects(async () => (await fetch(sidecar.url)).text());
  await sidecar.line(({ end }) => end === "upstream-aborted");
  assert.equal(service.asked, 1);
});

test("a service that never answers is asked once, within the route's time limit", async () => {
  await using service = await started("http1", () => {});
  await using sidecar = await sidecarTo(service.url, {}, {}, { timeout: 150 });
  assert.equal((await fetch(sidecar.url)).status, 504);
  assert.equal(service.asked, 1);
});

test("a policy that says it wrong is refused with the place", async () => {
  for (const [retry, place] of [
    [{ on: ["everything"] }, /retry\.on\[0\]/],
    [{ on: [] }, /retry\.on/],
    [{ on: ["reset", "reset"] }, /retry\.on\[1\].*listed twice/],
    [{ attempts: 1 }, /retry\.attempts/],
    [{ budget: 0 }, /retry\.budget/],
    [{ backOffMs: 1 }, /retry\.backOffMs.*backoffMs/],
  ] as const) {
    await using sidecar = await startSidecar({
      policy: { routes: [{ path: "/*", retry }] },
      upstream: "http://127.0.0.1:1",
    });
    const { problems } = await sidecar.line(({ msg }) => String(msg).startsWith("policy refused"));
    assert.match(String(problems), place);
  }
});

const plain = (bytes: Buffer): Buffer => bytes;
const unary = {
  path: "/test.Echo/Unary",
  requestStream: false,
  responseStream: false,
  requestSerialize: plain,
  requestDeserialize: plain,
  responseSerialize: plain,
  responseDeserialize: plain,
};

test("a call of gRPC is sent again on UNAVAILABLE, when the service says, and not on another status", async () => {
  const asked: string[] = [];
  const server = new Server();
  const answers = new Map<
    string,
    (count: number, call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => void
  >([
    [
      "twice",
      (count, _call, answer) =>
        count < 3 ? answer({ code: status.UNAVAILABLE }) : answer(null, Buffer.from("served")),
    ],
    // Fields of its own first: the status is in trailers then.
    [
      "late",
      (count, call, answer) => {
        call.sendMetadata(new Metadata());
        if (count < 2) answer({ code: status.UNAVAILABLE });
        else answer(null, Buffer.from("served"));
      },
    ],
    [
      "forbids",
      (_count, _call, answer) => {
        const metadata = new Metadata();
        metadata.set("grpc-retry-pushback-ms", "-1");
        answer({ code: status.UNAVAILABLE, metadata });
      },
    ],
    ["aborts", (_count, _call, answer) => answer({ code: status.ABORTED })],
  ]);
  server.addService(
    { Unary: unary },
    {
      Unary(call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) {
        const text = call.request.toString();
        asked.push(text);
        answers.get(text)?.(asked.filter((each) => each === text).length, call, answer);
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
  await using sidecar = await sidecarTo(
    `http://127.0.0.1:${port}`,
    { backoffMs: 1 },
    { OUTRIGGER_UPSTREAM_PROTOCOL: "auto" },
  );
  const client = new Client(`127.0.0.1:${sidecar.port}`, credentials.createInsecure(), {
    "grpc.enable_retries": 0,
  });
  const call = (text: string): Promise<string> =>
    new Promise((resolve, reject) =>
      client.makeUnaryRequest(unary.path, plain, plain, Buffer.from(text), (error, got) =>
        error === null ? resolve(String(got)) : reject(error),
      ),
    );
  try {
    assert.equal(await call("twice"), "served");
    assert.equal(await call("late"), "served");
    await assert.rejects(call("forbids"), ({ code }: ServiceError) => code === status.UNAVAILABLE);
    await assert.rejects(call("aborts"), ({ code }: ServiceError) => code === status.ABORTED);
    assert.deepEqual(asked, ["twice", "twice", "twice", "late", "late", "forbids", "aborts"]);
  } finally {
    client.close();
    server.forceShutdown();
  }
});
