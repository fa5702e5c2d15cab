// What is retried and what is not, call by call, on a clock that does not move by itself.
import assert from "node:assert/strict";
import { Socket } from "node:net";
import { test } from "node:test";
import { GatewayError } from "../../../../src/plugin-api/errors.ts";
import { createMetrics } from "../../../../src/telemetry/metrics.ts";
import { Retries } from "../../../../src/upstream/retry/retries.ts";
import { RetryingTransport } from "../../../../src/upstream/retry/retrying-transport.ts";
import { backoffMs, type RetryOptions, retryRules } from "../../../../src/upstream/retry/rules.ts";
import { WaitingCalls } from "../../../../src/upstream/retry/waiting-calls.ts";
import type {
  OwnConnectionHandler,
  UpstreamCall,
  UpstreamHandler,
  UpstreamRequest,
  UpstreamTransport,
} from "../../../../src/upstream/transport.ts";
import { ManualTime } from "../../../support/manual-time.ts";

/** One try. */
class Try implements UpstreamCall {
  readonly request: UpstreamRequest;
  readonly handler: UpstreamHandler;
  body = "";
  ended = false;
  aborted = false;
  full = false;

  constructor(request: UpstreamRequest, handler: UpstreamHandler) {
    this.request = request;
    this.handler = handler;
  }

  write(chunk: Buffer): boolean {
    this.body += chunk.toString();
    return !this.full;
  }

  end(): void {
    this.ended = true;
  }

  resume(): void {}

  abort(): void {
    this.aborted = true;
  }

  fail(code: "upstream_refused" | "upstream_reset" | "upstream_timeout"): void {
    this.handler.onFail(new GatewayError(code, ""));
  }
}

class Scene implements UpstreamTransport, UpstreamHandler {
  readonly tries: Try[] = [];
  readonly time = new ManualTime();
  readonly told: string[] = [];
  readonly metrics = createMetrics({ service: "test" });
  readonly transport: RetryingTransport;
  readonly waiting: WaitingCalls;
  looks = 0;
  isBack = false;
  memory = true;
  /** Endpoints; undefined = there is one in all. */
  endpoints: number | undefined;
  call: UpstreamCall | undefined;
  readonly retries: Retries;

  /** @param beside another one, whose route is of the same process */
  constructor(options: RetryOptions = {}, replayBytes = 10, beside?: { scene: Scene; route: string }) {
    const time = beside?.scene.time ?? this.time;
    const retries = (this.retries = beside?.scene.retries ?? new Retries(this.metrics, time, () => 1));
    const route = beside?.route ?? "/*";
    this.waiting = new WaitingCalls(this, this.time);
    const rules = retryRules(options, replayBytes);
    this.transport = new RetryingTransport({
      transport: this,
      waiting: this.waiting,
      rules,
      route,
      retries,
      budget: retries.budgets.of(route, "orders"),
    });
  }

  ask(request: Partial<UpstreamRequest> = {}): void {
    const whole = {
      method: "GET",
      target: "/",
      body: "none",
      connectTimeoutMs: 500,
      timeoutMs: 1_000,
    } as const;
    this.call = this.transport.send({ ...whole, fields: [], ...request }, this);
  }

  get last(): Try {
    return this.tries.at(-1) as Try;
  }

  async counted(reason: string, result: string): Promise<number> {
    const line = new RegExp(
      `^outrigger_retries_total\\{.*reason="${reason}",result="${result}".*\\} (\\d+)$`,
      "m",
    );
    return Number(line.exec(await this.metrics.render())?.[1] ?? 0);
  }

  send(request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall {
    request.tried?.push(String(request.tried.length));
    this.tries.push(new Try(request, handler));
    return this.last;
  }

  openOwn(_request: unknown, handler: OwnConnectionHandler): () => void {
    this.looks += 1;
    return this.time.after(0, () => {
      if (this.isBack) handler.onReady(new Socket());
      else handler.onFail(new GatewayError("upstream_refused", ""));
    });
  }

  hasOther(tried: readonly string[]): boolean {
    return this.endpoints !== undefined && tried.length < this.endpoints;
  }

  counts = () => ({ active: 0, idle: 0, queued: 0, upgraded: 0 });
  close(): void {}
  onInterim(status: number): void {
    this.told.push(`interim ${status}`);
  }
  onHead(status: number): void {
    this.told.push(`head ${status}`);
  }
  onData(chunk: Buffer): boolean {
    this.told.push(`data ${chunk.toString()}`);
    return true;
  }
  onEnd(): void {
    this.told.push("end");
  }
  onFail({ code }: GatewayError): void {
    this.told.push(code);
  }
  onDrain(): void {
    this.told.push("drain");
  }
  onRetry(reason: string): readonly string[] {
    this.told.push(`retry ${reason}`);
    return ["x-try", String(this.tries.length + 1)];
  }
  mayKeep(): boolean {
    return this.memory;
  }
}

test("pauses double, at random below that, and the last answer goes on as it is", async () => {
  const scene = new Scene({ attempts: 4, backoffMs: 100 });
  scene.ask();
  for (const [tries, pause] of [
    [1, 100],
    [2, 200],
    [3, 400],
  ] as const) {
    scene.last.handler.onHead(503, "", []);
    assert.equal(scene.last.aborted, true);
    scene.time.pass(pause - 1);
    assert.equal(scene.tries.length, tries);
    scene.time.pass(1);
    assert.equal(scene.tries.length, tries + 1);
  }
  assert.deepEqual(scene.last.request.fields, ["x-try", "4"]);
  scene.last.handler.onHead(503, "", []);
  scene.last.handler.onData(Buffer.from("busy"));
  scene.last.handler.onEnd([]);
  assert.deepEqual(scene.told.slice(-3), ["head 503", "data busy", "end"]);
  assert.equal(scene.time.pending, 0);
  assert.equal(await scene.counted("gateway-error", "sent"), 3);
});

test("only methods that may be repeated are, or with a key", () => {
  for (const [method, fields, tries] of [
    ["GET", [], 2],
    ["PUT", [], 2],
    ["DELETE", [], 2],
    ["POST", [], 1],
    ["PATCH", [], 1],
    ["POST", ["Idempotency-Key", ""], 1],
    ["POST", ["Idempotency-Key", '"k"'], 2],
  ] as const) {
    for (const fail of [
      (each: Try) => each.fail("upstream_reset"),
      (each: Try) => each.handler.onHead(502, "", []),
    ]) {
      const scene = new Scene();
      scene.ask({ method, fields, body: method === "GET" ? "none" : Buffer.from("b") });
      fail(scene.last);
      scene.time.pass(100);
      assert.equal(scene.tries.length, tries, `${method} ${fields.join()}`);
    }
  }
});

test("what is not asked for is not repeated, nor what no try would mend", () => {
  for (const [on, fail] of [
    [["reset"], (each: Try) => each.handler.onHead(503, "", [])],
    [["gateway-error"], (each: Try) => each.fail("upstream_reset")],
    [["gateway-error", "reset"], (each: Try) => each.fail("upstream_refused")],
    [undefined, (each: Try) => each.handler.onHead(500, "", [])],
    [undefined, (each: Try) => each.fail("upstream_timeout")],
  ] as const) {
    const scene = new Scene({ on });
    scene.ask();
    fail(scene.last);
    scene.time.pass(10_000);
    assert.equal(scene.tries.length, 1);
    assert.equal(scene.told.length, 1);
  }
});

test("nothing is repeated once an answer has begun", () => {
  const scene = new Scene();
  scene.ask();
  scene.last.handler.onHead(200, "", []);
  scene.last.handler.onData(Buffer.from("half"));
  scene.last.fail("upstream_reset");
  scene.time.pass(10_000);
  assert.deepEqual(scene.told, ["head 200", "data half", "upstream_reset"]);
});

test("a try ends at the deadline of the first, and none begins that would be past it", async () => {
  const scene = new Scene({ backoffMs: 400 });
  scene.ask();
  scene.time.pass(300);
  scene.last.fail("upstream_reset");
  scene.time.pass(400);
  assert.equal(scene.last.request.connectTimeoutMs, 300);
  scene.time.pass(299);
  assert.deepEqual(scene.told, ["retry reset"]);
  scene.time.pass(1);
  assert.deepEqual(scene.told, ["retry reset", "upstream_timeout"]);
  assert.equal(scene.last.aborted, true);

  const late = new Scene();
  late.ask();
  late.last.handler.onHead(503, "", ["Retry-After", "1"]);
  assert.deepEqual(late.told, ["head 503"]);
  assert.equal(await late.counted("gateway-error", "past_deadline"), 1);
});

test("Retry-After is the least pause", () => {
  const scene = new Scene();
  scene.ask({ timeoutMs: 5_000 });
  scene.last.handler.onHead(503, "", ["Retry-After", "2"]);
  scene.time.pass(1_999);
  assert.equal(scene.tries.length, 1);
  scene.time.pass(1);
  assert.equal(scene.tries.length, 2);
});

test("where nobody listens the next endpoint is asked whatever the budget, and with none left all wait", async () => {
  const scene = new Scene({ attempts: 3, budget: 0 });
  scene.endpoints = 2;
  for (let i = 0; i < 50; i += 1) scene.ask();
  for (const each of scene.tries.slice()) each.fail("upstream_refused");
  scene.time.pass(25);
  assert.equal(scene.tries.length, 100);
  for (const each of scene.tries.slice(50)) each.fail("upstream_refused");
  assert.equal(await scene.counted("connect-failure", "waited"), 50);
  scene.isBack = true;
  scene.time.pass(50);
  assert.equal(scene.tries.length, 150);
});

test("at most 1,024 wait for a service that is away", async () => {
  const scene = new Scene();
  for (let i = 0; i < 1_030; i += 1) scene.ask();
  for (const each of scene.tries.slice()) each.fail("upstream_refused");
  assert.equal(await scene.counted("connect-failure", "waited"), 1_024);
});

test("a body that still comes is not broken off at the route's time limit", () => {
  const scene = new Scene({ holdMs: 0 });
  scene.ask({ method: "PUT", body: "stream" });
  scene.last.fail("upstream_reset");
  scene.time.pass(100);
  scene.time.pass(5_000);
  assert.deepEqual([scene.tries.length, scene.last.aborted, scene.told], [2, false, ["retry reset"]]);
});

test("no pause is longer than ten seconds", () => {
  assert.deepEqual(
    [1, 2, 3, 10].map((tries) => backoffMs(4_000, tries, () => 1)),
    [4_000, 8_000, 10_000, 10_000],
  );
});

test("the budget bounds what is repeated, over all calls", async () => {
  const scene = new Scene({ attempts: 2, budget: 20 });
  for (let i = 0; i < 100; i += 1) scene.ask();
  for (const each of scene.tries.slice()) each.handler.onHead(503, "", []);
  scene.time.pass(100);
  assert.equal(scene.tries.length, 120);
  assert.equal(await scene.counted("gateway-error", "over_budget"), 80);
  // Forgotten after ten seconds.
  scene.time.pass(10_000);
  scene.ask();
  scene.last.handler.onHead(503, "", []);
  scene.time.pass(100);
  assert.equal(scene.tries.length, 122);
});

test("it is the route's: where all fails on one, others' requests are sent again still", () => {
  const scene = new Scene({ attempts: 2 });
  const other = new Scene({ attempts: 2 }, 10, { scene, route: "/other" });
  const fail = (on: Scene, count: number): number => {
    const before = on.tries.length;
    for (let i = 0; i < count; i += 1) {
      on.ask();
      on.last.handler.onHead(503, "", []);
    }
    scene.time.pass(100);
    return on.tries.length - before;
  };
  assert.equal(fail(scene, 1_000), 1_200);
  assert.equal(fail(other, 5), 10);
  // The same route of the next policy goes on with what there is.
  const next = new Scene({ attempts: 2 }, 10, { scene, route: "/*" });
  assert.equal(fail(next, 5), 6);
});

test("a streamed body is kept as far as it may be, and sent again with what comes meanwhile", () => {
  const scene = new Scene();
  scene.ask({ method: "PUT", body: "stream" });
  scene.last.handler.onInterim(100, []);
  scene.call?.write(Buffer.from("one "));
  scene.last.fail("upstream_reset");
  assert.equal(scene.call?.write(Buffer.from("two ")), false);
  scene.time.pass(100);
  assert.equal(scene.last.body, "one two ");
  assert.deepEqual(scene.told, ["interim 100", "retry reset", "drain"]);
  scene.last.handler.onInterim(100, []);
  scene.call?.write(Buffer.from("3"));
  scene.call?.end();
  assert.deepEqual([scene.last.body, scene.last.ended], ["one two 3", true]);
  scene.last.fail("upstream_reset");
  scene.time.pass(100);
  assert.deepEqual([scene.last.body, scene.last.ended], ["one two 3", true]);
  assert.equal(scene.told.at(-1), "retry reset");
});

test("a client that waits to be told to send its body is told by whichever try does so first, once", () => {
  const scene = new Scene();
  scene.ask({ method: "PUT", body: "stream" });
  scene.last.fail("upstream_reset");
  scene.time.pass(100);
  scene.last.handler.onInterim(100, []);
  assert.deepEqual(scene.told, ["retry reset", "interim 100"]);
  scene.last.fail("upstream_reset");
  scene.time.pass(100);
  scene.last.handler.onInterim(100, []);
  assert.deepEqual(scene.told, ["retry reset", "interim 100", "retry reset"]);
});

test("a body past the limit, or that there is no memory for, is not sent twice", async () => {
  for (const memory of [true, false]) {
    const scene = new Scene();
    scene.memory = memory;
    scene.ask({ method: "PUT", body: "stream" });
    scene.call?.write(Buffer.from(memory ? "elevenbytes" : "few"));
    scene.last.fail("upstream_reset");
    scene.time.pass(100);
    assert.deepEqual(scene.told, ["upstream_reset"]);
    assert.equal(await scene.counted("reset", "body_not_kept"), 1);
  }
});

test("a chunk past the limit that came between two tries is sent, and then no try follows", () => {
  const scene = new Scene();
  scene.ask({ method: "PUT", body: "stream" });
  scene.last.fail("upstream_reset");
  scene.call?.write(Buffer.from("elevenbytes"));
  scene.time.pass(100);
  assert.equal(scene.last.body, "elevenbytes");
  scene.last.fail("upstream_reset");
  assert.equal(scene.told.at(-1), "upstream_reset");
});

test("who waits for a service that is away costs no try, and one connection shows that it is back", async () => {
  const scene = new Scene({ attempts: 2 });
  scene.ask({ timeoutMs: 10_000 });
  scene.last.fail("upstream_refused");
  // Whoever comes meanwhile waits at once.
  for (let i = 0; i < 20; i += 1) scene.ask({ timeoutMs: 10_000 });
  scene.time.pass(2_000);
  assert.equal(scene.tries.length, 1);
  assert.equal(scene.looks, 40);
  scene.isBack = true;
  scene.time.pass(50);
  assert.equal(scene.tries.length, 22);
  assert.equal(scene.time.pending, 21);
  for (const each of scene.tries.slice(1)) each.handler.onHead(200, "", []);
  assert.equal(scene.time.pending, 0);
  assert.deepEqual(scene.told.filter((each) => each === "head 200").length, 21);
  assert.equal(await scene.counted("connect-failure", "waited"), 21);
  assert.equal(await scene.counted("connect-failure", "over_budget"), 0);
});

test("the wait is bounded: by holdMs, by the deadline, by number, and by the client's leaving", () => {
  const scene = new Scene({ holdMs: 300 });
  scene.ask();
  scene.last.fail("upstream_refused");
  scene.time.pass(299);
  assert.deepEqual(scene.told, []);
  scene.time.pass(60);
  assert.deepEqual(scene.told, ["upstream_refused"]);

  const late = new Scene();
  late.ask({ timeoutMs: 200 });
  late.last.fail("upstream_refused");
  late.time.pass(260);
  assert.deepEqual(late.told, ["upstream_refused"]);

  const full = new Scene({ attempts: 2 });
  for (let i = 0; i < 600; i += 1) full.ask({ client: "a" });
  for (const each of full.tries.slice()) each.fail("upstream_refused");
  full.ask({ client: "b" });
  assert.equal(full.tries.length, 600);
  // What finds no place to wait is tried again as anything else.
  full.time.pass(25);
  assert.equal(full.tries.length, 688);

  const left = new Scene();
  left.ask();
  left.last.fail("upstream_refused");
  left.call?.abort();
  assert.equal(left.time.pending, 0);
  left.time.pass(10_000);
  assert.deepEqual(left.told, []);
});

const grpc = { method: "POST", fields: ["Content-Type", "application/grpc"] } as const;

test("a call of gRPC is sent again on UNAVAILABLE without a message, when the service says so or soon", () => {
  const scene = new Scene();
  scene.ask(grpc);
  scene.last.handler.onHead(200, "", ["grpc-status", "14", "grpc-retry-pushback-ms", "700"]);
  scene.time.pass(699);
  assert.equal(scene.tries.length, 1);
  scene.time.pass(1);
  assert.equal(scene.tries.length, 2);
  scene.last.handler.onHead(200, "", []);
  assert.deepEqual(scene.told, ["retry unavailable"]);
  scene.last.handler.onEnd(["grpc-status", "14"]);
  scene.time.pass(50);
  assert.equal(scene.tries.length, 3);
  scene.last.handler.onHead(200, "", []);
  scene.last.handler.onEnd(["grpc-status", "14"]);
  assert.deepEqual(scene.told.slice(-2), ["head 200", "end"]);
});

test("not behind a message, not on another status, not where the service forbids it, not when it broke off", () => {
  for (const act of [
    ({ handler }: Try) => {
      handler.onHead(200, "", []);
      handler.onData(Buffer.from("m"));
      handler.onEnd(["grpc-status", "14"]);
    },
    ({ handler }: Try) => handler.onHead(200, "", ["grpc-status", "2"]),
    ({ handler }: Try) => handler.onHead(200, "", ["grpc-status", "14", "grpc-retry-pushback-ms", "-1"]),
    ({ handler }: Try) => handler.onHead(503, "", []),
    (each: Try) => each.fail("upstream_reset"),
  ]) {
    const scene = new Scene();
    scene.ask(grpc);
    act(scene.last);
    scene.time.pass(10_000);
    assert.equal(scene.tries.length, 1);
    assert.notEqual(scene.told.length, 0);
  }
});

test("a head of gRPC waits a moment for its status, and a later try is told what is left of the deadline", () => {
  const scene = new Scene();
  scene.ask(grpc);
  scene.last.handler.onHead(200, "", []);
  scene.time.pass(20);
  assert.deepEqual(scene.told, ["head 200"]);

  const bound = new Scene({ backoffMs: 100 });
  bound.onRetry = () => [...grpc.fields, "grpc-timeout", "600m"];
  bound.ask({ ...grpc, fields: [...grpc.fields, "grpc-timeout", "600m"] });
  bound.last.handler.onHead(200, "", ["grpc-status", "14"]);
  bound.time.pass(100);
  assert.deepEqual(bound.last.request.fields.slice(-2), ["grpc-timeout", "500m"]);
  bound.time.pass(500);
  assert.deepEqual(bound.told, ["upstream_timeout"]);
});
