// Which answers of gRPC take an endpoint out: two real services over HTTP/2, the second of which always does well.
import assert from "node:assert/strict";
import { once } from "node:events";
import http2, { type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { createMetrics } from "../../../../src/telemetry/metrics.ts";
import { BalancedUpstreams } from "../../../../src/upstream/balance/balanced-upstreams.ts";
import { RetryBudget } from "../../../../src/upstream/retry/budget.ts";
import { Retries } from "../../../../src/upstream/retry/retries.ts";
import { RetryingTransport } from "../../../../src/upstream/retry/retrying-transport.ts";
import { retryRules } from "../../../../src/upstream/retry/rules.ts";
import { WaitingCalls } from "../../../../src/upstream/retry/waiting-calls.ts";
import { systemTime } from "../../../../src/upstream/time.ts";
import type { UpstreamTarget, UpstreamTransport } from "../../../../src/upstream/transport.ts";
import { createTransport } from "../../../../src/upstream/transports.ts";
import { ManualTime } from "../../../support/manual-time.ts";

type Answer = (stream: ServerHttp2Stream) => void;

const type = { ":status": 200, "content-type": "application/grpc+proto" };

/** A refusal that is only a head. */
const alone =
  (status: string): Answer =>
  (stream) =>
    stream.respond({ ...type, "grpc-status": status }, { endStream: true });

const inTrailers =
  (status: string, message?: string): Answer =>
  (stream) => {
    stream.respond(type, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": status }));
    stream.end(message);
  };

async function serve(t: TestContext, answer: Answer): Promise<UpstreamTarget & { asked: number }> {
  const sessions = new Set<ServerHttp2Session>();
  const server = http2.createServer();
  server.on("session", (session) => sessions.add(session));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const name = `127.0.0.1:${port}`;
  const host = "127.0.0.1";
  const at = { tls: false, host, port, socketPath: undefined, name, protocol: "h2c" as const, asked: 0 };
  server.on("stream", (stream: ServerHttp2Stream) => {
    at.asked += 1;
    stream.on("error", () => {});
    stream.resume();
    answer(stream);
  });
  t.after(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return at;
}

class Scene {
  readonly left: string[] = [];
  readonly metrics = createMetrics({ service: "test" });
  transport: UpstreamTransport;
  readonly bad: UpstreamTarget & { asked: number };
  readonly good: UpstreamTarget & { asked: number };

  static async open(t: TestContext, answer: Answer): Promise<Scene> {
    return new Scene(t, await serve(t, answer), await serve(t, alone("0")));
  }

  private constructor(t: TestContext, bad: Scene["bad"], good: Scene["good"]) {
    this.bad = bad;
    this.good = good;
    const open = new Map<string, UpstreamTransport>();
    const options = { maxConnections: 4, maxQueued: 10, idleTimeoutMs: 1_000 };
    const log = (about: object, message: string): void => {
      if (message.includes("is left out")) this.left.push((about as { endpoint: string }).endpoint);
    };
    let turn = 0;
    const balanced = new BalancedUpstreams({
      upstreams: {
        hold: (target) => void open.set(target.name, createTransport(target, options)),
        get: ({ name }) => open.get(name) as UpstreamTransport,
        release: ({ name }) => open.get(name)?.close(),
      },
      metrics: this.metrics,
      logger: { debug: log, info: log, warn: log, error: log },
      zone: undefined,
      time: new ManualTime(),
      random: () => (turn = (turn + 0.37) % 1),
      resolve: () => Promise.reject(new Error("there are no names here")),
    });
    this.transport = balanced.hold({
      name: "orders",
      endpoints: [bad, good].map((target) => ({ target, zone: undefined, resolves: false })),
      balance: "least-request",
      hashOn: undefined,
      health: undefined,
      outlier: {
        consecutiveFailures: 5,
        baseEjectionMs: 30_000,
        maxEjectionMs: 30_000,
        maxEjectionPercent: 50,
      },
    });
    t.after(() => balanced.close());
  }

  retrying(): void {
    const { transport } = this;
    this.transport = new RetryingTransport({
      transport,
      waiting: new WaitingCalls(transport, systemTime),
      rules: retryRules({ budget: 100, backoffMs: 0 }, 1_000),
      route: "/*",
      retries: new Retries(this.metrics, systemTime, () => 0),
      budget: new RetryBudget(),
    });
  }

  /** Asks the first endpoint. @returns the status of gRPC, or how the call failed */
  ask(...more: string[]): Promise<string | undefined> {
    return new Promise((resolve) => {
      let status: string | undefined;
      const read = (fields: readonly string[]): void => {
        const at = fields.indexOf("grpc-status");
        if (at !== -1) status = fields[at + 1];
      };
      const fields = ["host", "orders", "content-type", "application/grpc+proto", ...more];
      const request = { method: "POST", target: "/shop.Orders/Find", fields, body: "none" } as const;
      const limits = { connectTimeoutMs: 5_000, timeoutMs: 5_000, tried: [this.good.name] };
      this.transport.send(
        { ...request, ...limits },
        {
          onInterim: () => {},
          onHead: (_status, _text, head) => read(head),
          onData: () => true,
          onEnd: (trailers) => {
            read(trailers);
            resolve(status);
          },
          onFail: ({ code }) => resolve(code),
          onDrain: () => {},
        },
      );
    });
  }

  async askTimes(count: number, ...more: string[]): Promise<void> {
    for (let i = 0; i < count; i += 1) await this.ask(...more);
  }
}

for (const [how, answer] of [
  ["in a head alone", alone("14")],
  ["in trailers without a message", inTrailers("14")],
  ["in trailers after messages", inTrailers("14", "some")],
  ["as an unknown error", inTrailers("2")],
] as const)
  test(`five failures in a row ${how} take an endpoint out, and each is one`, async (t) => {
    const scene = await Scene.open(t, answer);
    await scene.askTimes(4);
    assert.deepEqual(scene.left, []);
    await scene.ask();
    assert.deepEqual(scene.left, [scene.bad.name]);
    await scene.askTimes(5);
    assert.deepEqual([scene.bad.asked, scene.good.asked], [5, 5]);
  });

test("a failure that is asked again elsewhere counts all the same", async (t) => {
  for (const answer of [alone("14"), inTrailers("14")]) {
    const scene = await Scene.open(t, answer);
    scene.retrying();
    for (let i = 0; i < 100 && scene.bad.asked < 5; i += 1) {
      assert.deepEqual(scene.left, []);
      assert.equal(await scene.ask(), "0");
    }
    assert.deepEqual(scene.left, [scene.bad.name]);
  }
});

test("what is wrong with a call is not its endpoint's failure, and ends a row of them", async (t) => {
  for (const status of ["3", "5", "7", "8", "12", "16"])
    for (const fine of [alone(status), inTrailers(status)]) {
      let asked = 0;
      const scene = await Scene.open(t, (stream) => (++asked % 5 === 0 ? fine : alone("14"))(stream));
      await scene.askTimes(10);
      assert.deepEqual([status, scene.left, scene.bad.asked], [status, [], 10]);
    }
});

test("a deadline that passed is one only where its caller gave it a second", async (t) => {
  for (const [limit, isOut] of [
    ["999m", false],
    ["1S", true],
  ] as const) {
    const scene = await Scene.open(t, inTrailers("4"));
    await scene.askTimes(5, "grpc-timeout", limit);
    assert.equal(scene.left.length > 0, isOut, limit);
  }
  let asked = 0;
  const scene = await Scene.open(t, (stream) => alone(++asked === 3 ? "4" : "14")(stream));
  await scene.askTimes(6, "grpc-timeout", "999m");
  assert.deepEqual(scene.left, [scene.bad.name], "neither does it end a row");
});
