// Which spans an exchange has, and what they contain.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Outcome } from "../../../../src/plugin-api/contract.ts";
import type { TracedCall, TracingRules } from "../../../../src/runtime/live-trace.ts";
import type { Span } from "../../../../src/telemetry/trace/span.ts";
import { Tracer } from "../../../../src/telemetry/trace/tracer.ts";
import { type ExchangeFacts, exchangeOf, outcomeOf } from "../../../support/exchange.ts";

interface Traced {
  readonly facts?: ExchangeFacts;
  readonly protocol?: string;
  readonly outcome?: Partial<Outcome>;
  readonly calls?: readonly TracedCall[];
  readonly retried?: boolean;
  /** Share that is sampled. */
  readonly ratio?: number;
}

/** A span's attributes by name. */
const said = ({ attributes }: Span): Record<string, unknown> =>
  Object.fromEntries(attributes.flatMap((key, i) => (i % 2 === 0 ? [[key, attributes[i + 1]]] : [])));

const tracerOf = (ratio: number, spans: Span[]): Tracer =>
  new Tracer({
    propagators: ["tracecontext"],
    sampler: { byParent: true, ratio },
    sink: { add: (span) => void spans.push(span) },
    droppedBaggage: { inc: () => {} },
  });

/** @returns the spans of one exchange whose hook waited from 1 to 5 ms, which was sent at 6 and, where retried, at 9 */
function spansOf({ facts, protocol, outcome, calls = [], retried = false, ratio = 1 }: Traced): Span[] {
  const spans: Span[] = [];
  const exchange = exchangeOf(facts);
  const { fields } = exchange.request;
  const trace = tracerOf(ratio, spans).begin(exchange, undefined, protocol);
  for (const call of calls) trace.called(call);
  trace.hookRan("auth", "onRequest", 1, 5, false);
  trace.sent(fields, 6);
  if (retried) trace.sent(fields, 9, { reason: "reset", pausedMs: 2 });
  trace.ended(exchange, outcomeOf({ durationMs: 12, upstreamMs: 2, ...outcome }));
  return spans;
}

const call = (fromMono: number, toMono: number): TracedCall => ({
  name: `${fromMono}-${toMono}`,
  attributes: () => ["db.system.name", "redis"],
  fromMono,
  toMono,
  error: undefined,
});

test("calls stand under the hook that waited for them; what none waited for is left out", () => {
  const spans = spansOf({ calls: [call(1, 4), call(2, 5), call(4, 6), call(0.5, 2), call(7, 8)] });
  const hook = spans.find(({ name }) => name === "auth.onRequest");
  const shown = spans.filter((span) => said(span)["db.system.name"] === "redis");
  assert.deepEqual(
    shown.map(({ name, parentId, kind, fromMs }) => [name, parentId, kind, fromMs]),
    [
      ["1-4", hook?.spanId, 3, 1],
      ["2-5", hook?.spanId, 3, 2],
    ],
  );
});

test("of calls there are so many and no more", () => {
  const spans = spansOf({ calls: Array.from({ length: 200 }, () => call(1, 4)) });
  assert.equal(spans.filter(({ name }) => name === "1-4").length, 64);
});

test("of a trace that is not sampled, calls are kept until it is known whether the request failed", () => {
  const names = (status: number): string[] =>
    spansOf({ ratio: 0, calls: [call(1, 4)], outcome: { status } }).map(({ name }) => name);
  assert.deepEqual(names(200), []);
  assert.deepEqual(names(500), ["GET /*", "GET", "auth.onRequest", "1-4"]);
});

test("calls are taken where somebody may get to see them, until the exchange is over", () => {
  const begin = (ratio: number, rules?: TracingRules) => tracerOf(ratio, []).begin(exchangeOf(), rules);
  assert.ok(begin(1, { keepErrors: false }).takesCalls);
  assert.ok(begin(0).takesCalls);
  assert.ok(begin(0, { keepErrors: false, keepSlowerThanMs: 5 }).takesCalls);
  assert.ok(!begin(0, { keepErrors: false }).takesCalls);
  const ended = begin(1);
  ended.ended(exchangeOf(), outcomeOf());
  assert.ok(!ended.takesCalls);
});

test("each attempt is a span, which ends before the pause that follows it", () => {
  const [first, second, ...more] = spansOf({ retried: true }).filter(({ kind }) => kind === 3);
  assert.deepEqual(more, []);
  assert.ok(first !== undefined && second !== undefined);
  assert.deepEqual([first.fromMs, first.toMs, first.error], [6, 7, "reset"]);
  assert.equal(said(first)["error.type"], "reset");
  assert.equal(said(first)["http.request.resend_count"], undefined);
  assert.deepEqual([second.fromMs, second.toMs, second.error], [9, 12, undefined]);
  assert.equal(said(second)["http.request.resend_count"], 1);
});

test("a call of gRPC says so on both sides", () => {
  const spans = spansOf({
    facts: { method: "POST", path: "/shop.v1.Carts/Add", fields: ["content-type", "application/grpc+proto"] },
    protocol: "auto",
    outcome: { grpcStatus: 5 },
  });
  for (const kind of [2, 3]) {
    const attributes = said(spans.find((span) => span.kind === kind) as Span);
    assert.equal(attributes["rpc.system"], "grpc");
    assert.equal(attributes["rpc.service"], "shop.v1.Carts");
    assert.equal(attributes["rpc.method"], "Add");
    assert.equal(attributes["rpc.grpc.status_code"], 5);
  }
  assert.equal(said(spans.find(({ kind }) => kind === 3) as Span)["network.protocol.version"], "2");
});

test("what the service is spoken to in, whatever the client speaks", () => {
  const versionOf = (protocol: string): unknown =>
    said(spansOf({ protocol }).find(({ kind }) => kind === 3) as Span)["network.protocol.version"];
  assert.deepEqual(["http1", "h2", "h2c", "auto"].map(versionOf), ["1.1", "2", "2", "1.1"]);
});

test("methods that nobody knows make no names of spans", () => {
  const [span] = spansOf({ facts: { method: "BREW" } });
  assert.ok(span !== undefined);
  assert.equal(span.name, "HTTP /*");
  assert.equal(said(span)["http.request.method"], "_OTHER");
  assert.equal(said(span)["http.request.method_original"], "BREW");
});

test("the service's 4xx is an error of the call to it, not of the request", () => {
  const [server, client] = [2, 3].map((kind) =>
    spansOf({ outcome: { status: 404 } }).find((span) => span.kind === kind),
  );
  assert.deepEqual([server?.error, client?.error], [undefined, "404"]);
});
