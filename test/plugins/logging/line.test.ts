// The access-log line, and what decides whether it is written.
import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { test } from "node:test";
import * as fc from "fast-check";
import { compileFormat } from "../../../plugins/logging/formats.ts";
import { levelOf } from "../../../plugins/logging/level.ts";
import { loggingOptions } from "../../../plugins/logging/options.ts";
import { keepsSample } from "../../../plugins/logging/sample.ts";
import { GatewayError } from "../../../src/plugin-api/contract.ts";
import { exchangeOf, outcomeOf, type ExchangeFacts } from "../../support/exchange.ts";
import { anyRoute } from "../../support/route.ts";

const fleet = { service: "users", instance: "pod-1", size: () => 1 };
const route = { ...anyRoute, pattern: "/api/users/*" };
const noon = Date.UTC(2026, 0, 2, 12, 0, 0, 7);

type Line = Record<string, unknown>;

function lineOf(options: object, facts: ExchangeFacts, outcome = outcomeOf()): Line {
  const line = compileFormat("json", loggingOptions.parse(options), route, fleet);
  const text = line(Object.assign(exchangeOf(facts), { startedAt: noon }), outcome, 30);
  assert.equal(text.split("\n").length, 1);
  return JSON.parse(text) as Line;
}

test("a line has the binding members, pino's level and time, and the route's pattern", () => {
  const line = lineOf(
    {},
    {
      id: "r-1",
      path: "/api/users/7",
      identity: { userId: "u7", credentialId: "k1" },
      fields: ["User-Agent", "curl"],
    },
    outcomeOf({ status: 201, durationMs: 12.34567, upstreamMs: 9, requestBytes: 5, responseBytes: 300 }),
  );
  assert.deepEqual(line, {
    level: 30,
    // When it ended.
    time: noon + 12,
    timestamp: "2026-01-02T12:00:00.019Z",
    msg: "request",
    service: "users",
    instance: "pod-1",
    route: "/api/users/*",
    upstream: "127.0.0.1:3000",
    requestId: "r-1",
    method: "GET",
    path: "/api/users/7",
    status: 201,
    durationMs: 12.346,
    end: "complete",
    requestBytes: 5,
    responseBytes: 300,
    clientIp: "192.0.2.7",
    host: "api.example",
    userId: "u7",
    credentialId: "k1",
    userAgent: "curl",
    upstreamMs: 9,
  });
});

test("a refused request says who answered, with which error, and why", () => {
  const exchange = exchangeOf();
  exchange.refusedBecause = "scopes.all: users:write";
  exchange.cacheStatus = "BYPASS";
  const cause = Object.assign(new Error("connect ECONNREFUSED secret-host"), { code: "ECONNREFUSED" });
  const error = new GatewayError("forbidden", "No.", { cause });
  const line = compileFormat("json", loggingOptions.parse({}), route, fleet);
  const text = line(exchange, outcomeOf({ status: 403, answeredBy: "auth", error }), 40);
  const { answeredBy, refusedBecause, cacheStatus, errorCause, userId, ...rest } = JSON.parse(text) as Line;
  assert.deepEqual(
    { answeredBy, refusedBecause, cacheStatus, errorCause, userId, code: rest["error"] },
    {
      answeredBy: "auth",
      refusedBecause: "scopes.all: users:write",
      cacheStatus: "BYPASS",
      errorCause: "ECONNREFUSED",
      userId: null,
      code: "forbidden",
    },
  );
  assert.doesNotMatch(text, /secret-host/);
});

test("the query is not logged unless asked for, and then without secrets", () => {
  const facts = { query: "?q=1&api_key=s3cret" };
  assert.equal(lineOf({}, facts)["query"], undefined);
  assert.equal(lineOf({ query: true }, facts)["query"], "?q=1&api_key=[redacted]");
});

test("redact hides members of the line as well", () => {
  const line = lineOf(
    { redact: ["clientIp", "USERID", "path", "host", "credentialId", "User-Agent"] },
    { identity: { credentialId: "k1" }, fields: ["user-agent", "curl"] },
  );
  for (const member of ["clientIp", "userId", "path", "host", "credentialId", "userAgent"]) {
    assert.equal(line[member], "[redacted]", member);
  }
});

test("whatever client and token hold, the line is one line of valid JSON with those very values", () => {
  const text = fc.string({ unit: "binary", maxLength: 40 });
  fc.assert(
    fc.property(text, text, text, text, (path, host, agent, userId) => {
      const line = lineOf(
        { query: true },
        { path, host, query: `?${agent}`, fields: ["User-Agent", agent], identity: { userId } },
      );
      assert.deepEqual(
        [line["path"], line["host"], line["userAgent"], line["userId"]],
        [path, host, agent, userId],
      );
      assert.equal(line["level"], 30);
    }),
  );
});

test("a line shows its own request, whatever the lines before it had in common", () => {
  let startedAt = noon;
  const line = compileFormat("json", loggingOptions.parse({}), route, fleet);
  const few = (...texts: string[]) => fc.constantFrom(...texts);
  const request = fc.record({
    method: few("GET", "POST"),
    host: few("a", "b"),
    address: few("192.0.2.1", "192.0.2.2"),
    agent: few("", "curl"),
    credentialId: few("k1", "k2"),
    status: fc.constantFrom(200, 404),
    end: fc.constantFrom("complete" as const, "failed" as const),
    level: fc.constantFrom(30, 50),
    later: fc.nat(1),
  });
  fc.assert(
    fc.property(fc.array(request), (requests) => {
      for (const { method, host, address, agent, credentialId, status, end, level, later } of requests) {
        startedAt += later;
        const facts = { method, host, address, fields: ["User-Agent", agent], identity: { credentialId } };
        const exchange = Object.assign(exchangeOf(facts), { startedAt });
        const text = line(exchange, outcomeOf({ status, end, durationMs: 0 }), level);
        const shown = JSON.parse(text) as Line;
        assert.deepEqual(
          [shown["method"], shown["host"], shown["clientIp"], shown["userAgent"], shown["credentialId"]],
          [method, host, address, agent, credentialId],
        );
        assert.deepEqual(
          [shown["status"], shown["end"], shown["level"], shown["time"]],
          [status, end, level, startedAt],
        );
      }
    }),
  );
});

test("routes in turn show each its own pattern and what it does not hide, whatever they have in common", () => {
  const compile = (pattern: string, options: object) =>
    compileFormat("json", loggingOptions.parse(options), { ...route, pattern }, fleet);
  const lines = [
    compile("/a", {}),
    compile("/b", { query: true }),
    compile("/c", { redact: ["host", "clientIp", "userAgent"] }),
    compile("/d", { sample: 0.5 }),
  ];
  const facts = { query: "?q=1", fields: ["User-Agent", "curl"] };
  const exchange = Object.assign(exchangeOf(facts), { startedAt: noon });
  const shown = [...lines, ...lines].map((line) => JSON.parse(line(exchange, outcomeOf(), 30)) as Line);
  const hidden = { host: "[redacted]", clientIp: "[redacted]", userAgent: "[redacted]" };
  const open = { host: "api.example", clientIp: "192.0.2.7", userAgent: "curl" };
  const expected = [
    { route: "/a", ...open },
    { route: "/b", query: "?q=1", ...open },
    { route: "/c", ...hidden },
    { route: "/d", sample: 0.5, ...open },
  ];
  const named = ["route", "host", "clientIp", "userAgent", "query", "sample"];
  assert.deepEqual(
    shown.map((line) => Object.fromEntries(Object.entries(line).filter(([name]) => named.includes(name)))),
    [...expected, ...expected],
  );
});

test("the level is the sidecar's or service's fault, the client's, or none", () => {
  assert.equal(levelOf(outcomeOf({ status: 204 })), 30);
  assert.equal(levelOf(outcomeOf({ status: 101 })), 30);
  assert.equal(levelOf(outcomeOf({ status: 304 })), 30);
  assert.equal(levelOf(outcomeOf({ status: 429 })), 40);
  assert.equal(levelOf(outcomeOf({ status: 0, end: "client-aborted" })), 40);
  assert.equal(levelOf(outcomeOf({ status: 200, end: "shutdown" })), 40);
  assert.equal(levelOf(outcomeOf({ status: 503 })), 50);
  assert.equal(levelOf(outcomeOf({ status: 200, end: "upstream-aborted" })), 50);
  assert.equal(levelOf(outcomeOf({ status: 200, end: "failed" })), 50);
});

test("a sample keeps its share of ids of any kind, and the same ones every time", () => {
  for (const idOf of [
    (n: number) => String(n),
    (n: number) => `req-${1_000_000 + n}`,
    (n: number) => hash("sha1", String(n)),
  ]) {
    const ids = Array.from({ length: 20_000 }, (_, n) => idOf(n));
    for (const share of [0.01, 0.25, 0.9]) {
      const kept = ids.filter((id) => keepsSample(id, share));
      // Five standard deviations of a fair draw.
      const slack = 5 * Math.sqrt(20_000 * share * (1 - share));
      assert.ok(Math.abs(kept.length - 20_000 * share) < slack, `${kept.length} of ${20_000 * share}`);
      assert.deepEqual(
        kept,
        ids.filter((id) => keepsSample(id, share)),
      );
    }
  }
  assert.equal(keepsSample("a", 1), true);
  assert.equal(keepsSample("a", 0), false);
});

test("what a smaller share keeps, a larger one keeps too", () => {
  fc.assert(
    fc.property(
      fc.string(),
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (id, a, b) => {
        assert.ok(!keepsSample(id, Math.min(a, b)) || keepsSample(id, Math.max(a, b)));
      },
    ),
  );
});
