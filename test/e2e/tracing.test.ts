// Traces through real sidecars: the trace fields that the service gets, and the spans that the collector gets.
import assert from "node:assert/strict";
import type http from "node:http";
import { after, before, describe, test } from "node:test";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";
import { type Collector, type ReceivedSpan, startCollector } from "../support/collector.ts";
import { startService } from "../support/crew.ts";
import { eventually, startRedis } from "../support/redis.ts";
import { echo, seenWith } from "../support/trace-fields.ts";

const trace = "12345678901234567890123456789012";
const span = "1234567890123456";
const parent = `00-${trace}-${span}-01`;

const open = { headers: { accept: "application/openmetrics-text" } };

describe("what the service is told", () => {
  let sidecar: TestSidecar;
  before(async () => {
    sidecar = await startSidecar({ policy: { plugins: ["logging"] }, upstream: echo });
  });
  after(() => sidecar.stop());

  const told = async (...lines: string[]) => {
    const pairs = await seenWith(sidecar.port, ...lines);
    const parents = pairs.filter(([name]) => name === "traceparent");
    assert.equal(parents.length, 1, JSON.stringify(pairs));
    const [, traceId, spanId, flags] =
      /^00-([0-9a-f]{32})-([0-9a-f]{16})-(0[0-3])$/.exec(parents[0]?.[1] ?? "") ?? [];
    assert.notEqual(traceId, undefined, JSON.stringify(parents));
    return { traceId, spanId, flags, rest: pairs.filter(([name]) => name !== "traceparent") };
  };

  test("the caller's trace under a span of the sidecar's, the list as it came", async () => {
    const { traceId, spanId, flags, rest } = await told(
      `TraceParent: \t${parent} `,
      "tracestate: foo=1 , bar=2",
      "TRACESTATE: ",
      "tracestate: baz=3",
      "baggage: a=b",
    );
    assert.equal(traceId, trace);
    assert.notEqual(spanId, span);
    assert.equal(flags, "01");
    assert.deepEqual(rest, [
      ["tracestate", "foo=1,bar=2,baz=3"],
      ["baggage", "a=b"],
    ]);
  });

  test("whether the caller's trace id is random goes on, and whether it is sampled", async () => {
    assert.equal((await told(`traceparent: 00-${trace}-${span}-02`)).flags, "02");
    assert.equal((await told(`traceparent: 00-${trace}-${span}-00`)).flags, "00");
  });

  test("a trace of its own where the caller's is malformed, twice there, or not there", async () => {
    for (const lines of [
      [],
      [`traceparent: ${parent}`, `traceparent: ${parent}`],
      [`traceparent: ${parent}.`],
      [`trace-parent: ${parent}`],
      [`traceparent: ff${parent.slice(2)}`],
    ]) {
      const { traceId, flags, rest } = await told(...lines, "tracestate: foo=1");
      assert.notEqual(traceId, trace, lines.join());
      assert.equal(flags, "03");
      assert.deepEqual(
        rest.filter(([name]) => name === "tracestate"),
        [],
      );
    }
  });

  test("no list that is malformed", async () => {
    for (const list of ["foo=bar=baz", "FOO=1", `${"z".repeat(257)}=1`])
      assert.deepEqual((await told(`traceparent: ${parent}`, `tracestate: ${list}`)).rest, [], list);
  });

  test("no baggage that is too much, which is counted", async () => {
    const baggage = `baggage: ${"k=v,".repeat(80)}k=v`;
    assert.deepEqual((await told(baggage)).rest, []);
    assert.deepEqual((await told(`baggage: k=${"v".repeat(8_200)}`)).rest, []);
    assert.match(await sidecar.metrics(), /^outrigger_trace_baggage_dropped_total\{[^}]*\} 2$/m);
  });

  test("a log line has the trace and the span that clients can be told of", async () => {
    await told(`traceparent: ${parent}`, "x-request-id: traced");
    const line = await sidecar.line(({ requestId }) => requestId === "traced");
    assert.equal(line["traceId"], trace);
    assert.match(String(line["spanId"]), /^[0-9a-f]{16}$/);
  });
});

test("formats of others are taken in where they are named", async () => {
  const env = { OTEL_PROPAGATORS: "b3,tracecontext" };
  await using sidecar = await startSidecar({ policy: {}, upstream: echo, env });
  const pairs = await seenWith(sidecar.port, `b3: ${trace}-${span}-1`);
  assert.match(pairs.find(([name]) => name === "traceparent")?.[1] ?? "", new RegExp(`^00-${trace}-.*-01$`));
});

test("nothing is touched where it is switched off", async () => {
  const env = { OTEL_SDK_DISABLED: "true" };
  await using sidecar = await startSidecar({ policy: {}, upstream: echo, env });
  assert.deepEqual(await seenWith(sidecar.port), []);
  assert.deepEqual(await seenWith(sidecar.port, `traceparent: ${parent}`), [["traceparent", parent]]);
});

describe("what the collector gets", () => {
  let collector: Collector;
  before(async () => {
    collector = await startCollector();
  });
  after(() => collector[Symbol.asyncDispose]());

  const traced = (upstream: http.RequestListener | string, env: Record<string, string> = {}) =>
    startSidecar({
      policy: { plugins: ["logging", "auth"], pluginConfig: { auth: { required: false } } },
      upstream,
      env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_BSP_SCHEDULE_DELAY: "5", ...env },
    });

  test("one tree of three sidecars in a row", async () => {
    await using last = await traced(echo, { OUTRIGGER_SERVICE: "last" });
    await using middle = await traced(last.url, { OUTRIGGER_SERVICE: "middle" });
    await using first = await traced(middle.url, { OUTRIGGER_SERVICE: "first" });
    await (await fetch(`${first.url}/x?secret=1`, { headers: { "user-agent": "tree" } })).text();
    const ofService = (service: string, kind: string) =>
      collector.span((each) => each.resource["service.name"] === service && each.kind === kind);
    const chain = [
      await ofService("first", "SERVER"),
      await ofService("first", "CLIENT"),
      await ofService("middle", "SERVER"),
      await ofService("middle", "CLIENT"),
      await ofService("last", "SERVER"),
      await ofService("last", "CLIENT"),
    ];
    assert.equal(chain[0]?.parentId, "");
    for (const [i, each] of chain.slice(1).entries()) assert.equal(each.parentId, chain[i]?.spanId);
    assert.equal(new Set(chain.map(({ traceId }) => traceId)).size, 1);
    for (const each of chain) assert.ok(each.endNanos >= each.startNanos && each.startNanos > 0n);
    const page = await (await fetch(`${first.adminUrl}/metrics`, open)).text();
    assert.match(
      page,
      new RegExp(`^outrigger_request_duration_seconds_bucket.*trace_id="${chain[0].traceId}"`, "m"),
    );
    const { attributes, name } = chain[0];
    assert.equal(name, "GET /*");
    assert.equal(attributes["http.request.method"], "GET");
    assert.equal(attributes["http.response.status_code"], "200");
    assert.equal(attributes["url.path"], "/x");
    assert.equal(attributes["user_agent.original"], "tree");
    assert.doesNotMatch(JSON.stringify(collector.spans.map((each) => each.attributes)), /secret/);
  });

  test("a failed request whose trace is not sampled, and no other", async () => {
    await using sidecar = await traced(echo, { OUTRIGGER_SERVICE: "off", OTEL_TRACES_SAMPLER: "always_off" });
    await (await fetch(sidecar.url)).text();
    await (await fetch(`${sidecar.url}/fail`)).text();
    const kept = await collector.span(({ resource }) => resource["service.name"] === "off");
    assert.deepEqual([kept.attributes["url.path"], kept.error, kept.flags & 1], ["/fail", "500", 0]);
    const own = collector.spans.filter(({ resource }) => resource["service.name"] === "off");
    assert.equal(new Set(own.map(({ traceId }) => traceId)).size, 1);
  });

  test("what the policy has recorded, by route, and clients are told of it", async () => {
    await using sidecar = await startSidecar({
      policy: {
        tracing: { sampleRatio: 0, keepErrors: false },
        routes: [
          { path: "/*" },
          { path: "/all/*", tracing: { sampleRatio: 1, traceResponse: true } },
          { path: "/slow/*", tracing: { keepSlowerThanMs: 0 } },
        ],
      },
      upstream: echo,
      env: {
        OUTRIGGER_SERVICE: "routes",
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
        OTEL_BSP_SCHEDULE_DELAY: "5",
      },
    });
    const get = async (path: string): Promise<string | null> => {
      const response = await fetch(sidecar.url + path);
      await response.text();
      return response.headers.get("traceresponse");
    };
    assert.equal(await get("/fail"), null);
    assert.equal(await get("/slow/1"), null);
    const told = await get("/all/1");
    const kept = await collector.span(({ name }) => name === "GET /all/*");
    assert.equal(told, `00-${kept.traceId}-${kept.spanId}-03`);
    const own = collector.spans.filter(({ resource, kind }) => {
      return resource["service.name"] === "routes" && kind === "SERVER";
    });
    assert.deepEqual(
      own.map(({ name, flags }) => [name, flags & 1]),
      [
        ["GET /slow/*", 0],
        ["GET /all/*", 1],
      ],
    );
  });

  test("the calls that plugins wait for under the plugin that made them, of what is sampled or fails", async (t) => {
    const redis = await startRedis();
    t.after(() => redis.stop());
    await using decider = await startService((_request, response) => response.end());
    await using sidecar = await startSidecar({
      policy: {
        plugins: ["ext-auth", "rate-limit"],
        pluginConfig: {
          "ext-auth": { url: `${decider.url}/decide?secret=1` },
          "rate-limit": { limits: [{ name: "all", by: "ip", limit: 100, window: "1m", mode: "exact" }] },
        },
      },
      upstream: echo,
      redisUrl: redis.url,
      env: {
        OUTRIGGER_SERVICE: "calls",
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
        OTEL_BSP_SCHEDULE_DELAY: "5",
      },
    });
    const get = async (path: string, traceId: string, flags: string): Promise<void> => {
      const headers = { traceparent: `00-${traceId}-${span}-${flags}` };
      await (await fetch(`${sidecar.url}${path}`, { headers })).text();
    };
    const [fine, sampled, failed] = ["a1", "a2", "a3"].map((byte) => byte.repeat(16)) as [
      string,
      string,
      string,
    ];
    await get("/x", fine, "00");
    await get("/x", sampled, "01");
    await get("/fail", failed, "00");
    for (const traceId of [sampled, failed]) {
      const ofTrace = (is: (each: ReceivedSpan) => boolean) =>
        collector.span((each) => each.traceId === traceId && is(each));
      const command = await ofTrace(({ attributes }) => attributes["db.system.name"] === "redis");
      const decider = ({ name, kind }: ReceivedSpan) => name === "ext-auth.onRequest" && kind === "INTERNAL";
      const hook = await ofTrace(decider);
      const asked = await ofTrace(({ parentId, kind }) => parentId === hook.spanId && kind === "CLIENT");
      const limited = await ofTrace(({ spanId }) => spanId === command.parentId);
      assert.equal(limited.name, "rate-limit.onRequest");
      assert.match(String(command.attributes["db.operation.name"]), /^EVAL/);
      assert.equal(command.attributes["server.port"], new URL(redis.url).port);
      assert.equal(asked.attributes["http.response.status_code"], "200");
      for (const each of [command, asked])
        assert.doesNotMatch(JSON.stringify(each.attributes), /secret|decide/);
    }
    assert.ok(!collector.spans.some(({ traceId }) => traceId === fine));
  });

  test("why the service could not be asked", async () => {
    const env = { OUTRIGGER_SERVICE: "gone" };
    await using sidecar = await traced("http://127.0.0.1:1", env);
    await (await fetch(sidecar.url)).text();
    const [own, tried] = await Promise.all(
      ["SERVER", "CLIENT"].map((kind) =>
        collector.span((each) => each.resource["service.name"] === "gone" && each.kind === kind),
      ),
    );
    assert.equal(own?.attributes["http.response.status_code"], "502");
    assert.equal(own?.attributes["error.type"], tried?.attributes["error.type"]);
    assert.equal(tried?.attributes["http.response.status_code"], undefined);
    const exported = /^outrigger_trace_spans_total\{[^}]*result="exported"[^}]*\} [1-9]/m;
    await eventually("spans are exported", async () => exported.test(await sidecar.metrics()));
  });
});
