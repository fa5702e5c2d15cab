// `policy replay` as a user runs it, over the lines of a file.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { outrigger } from "../../support/process.ts";
import { startRedis } from "../../support/redis.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-replay-"));
after(() => rmSync(folder, { recursive: true }));

const at = (seconds: number): number => Date.parse("2026-11-28T10:00:00Z") + seconds * 1_000;

type Line = Readonly<Record<string, unknown>>;

/** A line as plugins/logging writes it. */
function line(seconds: number, more: Line = {}): Line {
  return {
    level: 30,
    time: at(seconds) + 5,
    msg: "request",
    service: "orders",
    route: "/api/*",
    requestId: `r${seconds}`,
    method: "GET",
    path: "/api/users",
    host: "a.test",
    status: 200,
    durationMs: 5,
    end: "complete",
    requestBytes: 0,
    clientIp: "192.0.2.7",
    userId: "u1",
    ...more,
  };
}

interface Report {
  readonly requests: number;
  readonly same: number;
  readonly notReplayed: Record<string, number>;
  readonly changed: readonly Line[];
  readonly untold: readonly Line[];
}

let files = 0;
function write(name: string, text: string): string {
  const file = join(folder, `${(files += 1)}-${name}`);
  writeFileSync(file, text);
  return file;
}
const policyFile = (members: object): string =>
  write("policy.json", JSON.stringify({ apiVersion: "outrigger/v1", ...members }));
const logFile = (lines: readonly (Line | string)[]): string =>
  write("log", lines.map((each) => (typeof each === "string" ? each : JSON.stringify(each))).join("\n"));

async function replay(members: object, lines: readonly (Line | string)[], ...more: string[]) {
  const args = ["policy", "replay", policyFile(members), "--from", logFile(lines), ...more];
  const { code, stdout, stderr } = await outrigger([...args, "--json"]);
  assert.deepEqual([code, stderr], [0, ""]);
  return JSON.parse(stdout) as Report;
}

const limited = (limit: number) => ({
  plugins: ["logging", "auth", "rate-limit"],
  pluginConfig: {
    auth: { required: false, apiKeys: {} },
    "rate-limit": { limits: [{ name: "per-caller", by: "subject", limit, window: "1m" }] },
  },
  routes: [{ path: "/api/*" }],
});

describe("what changes", () => {
  test("limits count by the time of the lines, whatever their order and however fast they are read", async () => {
    const burst = Array.from({ length: 6 }, (_, at) => line(at));
    const later = line(120);
    const { requests, same, changed } = await replay(limited(4), [later, ...burst.toReversed()]);
    assert.deepEqual([requests, same], [7, 5]);
    assert.deepEqual(changed, [
      {
        requests: 2,
        service: "orders",
        was: { route: "/api/*", by: null, status: 200 },
        becomes: { route: "/api/*", by: "rate-limit", status: 429 },
        callers: 1,
        topCallers: [{ caller: "user u1", requests: 2 }],
        requestIds: ["r4", "r5"],
      },
    ]);
  });

  test("each caller counts for itself, each service has its own policy", async () => {
    const policy = {
      ...limited(1),
      routes: [{ path: "/api/*" }, { path: "/api/users", services: ["bills"], plugins: [] }],
    };
    const { changed } = await replay(policy, [
      line(0),
      line(1, { userId: "u2" }),
      line(2, { userId: null, clientIp: "192.0.2.8" }),
      ...[3, 4, 5].map((second) => line(second, { service: "bills", route: "/api/users" })),
    ]);
    assert.deepEqual(changed, []);
  });

  test("a route that is gone, a refusal that is gone, and what was refused and still is", async () => {
    const { same, changed } = await replay({ plugins: ["logging"], routes: [{ path: "/b/*" }] }, [
      line(0),
      line(1, { path: "/b/x", route: "/b/*", status: 403, answeredBy: "auth", error: "forbidden" }),
      line(2, { path: "/nowhere", route: "", status: 404, error: "route_not_found" }),
      line(3, { path: "/b/y", route: "/b/*", status: 502, error: "upstream_refused" }),
    ]);
    assert.equal(same, 2);
    assert.deepEqual(
      changed.map(({ was, becomes }) => [was, becomes]),
      [
        [
          { route: "/api/*", by: null, status: 200 },
          { route: null, by: "sidecar", status: 404 },
        ],
        [
          { route: "/b/*", by: "auth", status: 403 },
          { route: "/b/*", by: null, status: 200 },
        ],
      ],
    );
  });

  test("with --strict a change is an error", async () => {
    const args = [
      "policy",
      "replay",
      policyFile(limited(1)),
      "--from",
      logFile([line(0), line(1)]),
      "--strict",
    ];
    const { code, stdout } = await outrigger(args);
    assert.equal(code, 1);
    assert.match(
      stdout,
      /^2 requests to orders, 2026-11-28T10:00:00.000Z to \S+: 1 would be answered as they were\n/,
    );
    assert.match(
      stdout,
      /1 {9}orders +\/api\/\* +the service's 200 +429 by rate-limit +user u1 \(1\) +r1\n$/,
    );
  });
});

describe("what lines do not tell is not guessed", () => {
  const guarded = (allow: object) => ({
    plugins: ["logging", "auth"],
    pluginConfig: { auth: { apiKeys: {}, rules: [{ path: "/api/*", allow }] } },
    routes: [{ path: "/api/*" }],
  });
  const lacksOf = async (...given: Parameters<typeof replay>) => {
    const { same, changed, untold } = await replay(...given);
    assert.deepEqual([same, changed], [0, []]);
    return untold.map(({ lacks }) => lacks);
  };

  test("scopes that a rule asks for", async () => {
    assert.deepEqual(await lacksOf(guarded({ scopes: { all: ["read"] } }), [line(0)]), [["scopes"]]);
  });

  test("credentials of callers that nobody had asked who they are", async () => {
    const [lacks] = await lacksOf(guarded({}), [line(0, { userId: null })]);
    assert.deepEqual(lacks, ["field authorization", "field x-api-key"]);
  });

  test("queries and bodies that a plugin looks at", async () => {
    const validate = (options: object) => ({
      plugins: ["validate"],
      pluginConfig: { validate: options },
      routes: [{ path: "/api/*" }],
    });
    const posted = line(0, {
      method: "POST",
      requestBytes: 10,
      requestHeaders: { "content-type": "application/json" },
    });
    const body = validate({ schema: { type: "object" }, contentTypes: ["application/json"] });
    assert.deepEqual(await lacksOf(body, [posted]), [["body"]]);
  });

  test("a plan by which limits differ, and what others would have answered", async () => {
    const perHour = (limit: number) => [{ name: "p", by: "subject", limit, window: "1h" }];
    const { plugins, routes, pluginConfig } = limited(1);
    const byPlan = {
      plugins,
      routes,
      pluginConfig: { ...pluginConfig, "rate-limit": { plans: { free: perHour(1), pro: perHour(9) } } },
    };
    const { untold } = await replay(byPlan, [line(0), line(1)]);
    assert.deepEqual(
      untold.map(({ lacks }) => lacks),
      [["plan"]],
    );
    const asking = {
      plugins: ["ext-auth"],
      pluginConfig: { "ext-auth": { url: "http://127.0.0.1:9/" } },
      routes: [{ path: "/api/*" }],
    };
    assert.deepEqual(await lacksOf(asking, [line(0)]), [["what others would have answered it"]]);
  });
});

test("lines that are no request to be made again are counted, by why", async () => {
  const { requests, notReplayed } = await replay(limited(9), [
    line(0),
    "not JSON",
    { msg: "policy in force" },
    line(1, { path: "[redacted]" }),
    line(2, { path: `/${"a".repeat(2_048)}` }),
    line(3, { upgrade: "websocket", status: 101 }),
    line(4, { status: 0, end: "client-aborted" }),
    line(5, { status: 503, error: "overloaded" }),
  ]);
  assert.equal(requests, 1);
  assert.deepEqual(notReplayed, {
    "no access-log line": 2,
    "it lacks what a request needs, or that is redacted": 2,
    "an upgrade": 1,
    "nobody waited for its answer": 1,
    "refused for want of resources, not by the policy": 1,
  });
});

test("lines that somebody made up neither end the report nor move the cursor", async () => {
  const strange = [
    { time: 1e300 },
    { time: -1e300 },
    { durationMs: -1e308 },
    { status: 200.5 },
    { status: 1e300 },
    { status: -1 },
  ].map((more) => line(1, more));
  const beyond = JSON.stringify(line(1)).replace(/"time":\d+/, '"time":1e999');
  const endless = "x".repeat(3_000_000);
  const others = [
    {
      resourceLogs: [
        null,
        { scopeLogs: 5 },
        { scopeLogs: [{ logRecords: [7, { attributes: [{ key: 1 }] }] }] },
      ],
    },
    { "ecs.version": 8, message: "request", "@timestamp": "soon", "url.domain": {} },
  ].map((each) => JSON.stringify(each));
  const alike = `a - - [02/Xyz/2026:12:00:00 +0000] "GET /${" ".repeat(3_000)}`;
  const lines = [
    endless,
    alike,
    ...others,
    ...strange,
    beyond,
    line(2, { service: "\u001b[31mred\n" }),
    endless,
  ];
  const { requests, notReplayed } = await replay(limited(9), lines);
  assert.equal(requests, 1);
  assert.deepEqual(notReplayed, {
    "no access-log line": 8,
    "nobody waited for its answer": 1,
    "it lacks what a request needs, or that is redacted": 4,
  });
  const { stdout } = await outrigger(["policy", "replay", policyFile(limited(9)), "--from", logFile(lines)]);
  assert.match(stdout, /^1 requests to \?\[31mred\?, 2026/);
});

test("what cannot be read is one line that says so", async () => {
  const policy = policyFile(limited(1));
  const run = async (...args: string[]) => {
    const { code, stdout, stderr } = await outrigger(["policy", "replay", ...args]);
    assert.equal(stdout, "");
    return [code, stderr];
  };
  const missing = join(folder, "missing");
  assert.deepEqual(await run(policy, "--from", missing), [
    1,
    `${missing} cannot be read: ENOENT: no such file or directory, open '${missing}'\n`,
  ]);
  const none = logFile(["x"]);
  assert.deepEqual(await run(policy, "--from", none), [
    1,
    `${none} has no line that can be replayed (1 lines: no access-log line)\n`,
  ]);
  const wrong = policyFile({ plugins: ["loging"] });
  const [code, text] = await run(wrong, "--from", logFile([line(0)]));
  assert.equal(code, 1);
  assert.match(String(text), new RegExp(`^${wrong}, line 1, column \\d+: plugins\\[0\\]: unknown plugin`));
  assert.deepEqual(await run(policy, "--since", "soon"), [2, "--since takes a time such as 30m, 1h or 7d\n"]);
});

test("a layer in Redis that cannot be read is named, and no file of the operator's", async () => {
  const redis = await startRedis();
  try {
    await redis.cli.xadd("outrigger:logs:orders", "*", "line", JSON.stringify(line(0)));
    await redis.cli.set("outrigger:policy:orders", "{{{");
    const args = ["policy", "replay", policyFile(limited(9)), "--service", "orders"];
    const { code, stderr } = await outrigger(args, { REDIS_URL: redis.url });
    assert.equal(code, 1);
    assert.match(stderr, /^policy:orders in Redis, line 1, column 2: is not JSON/);
  } finally {
    await redis.close();
  }
});

test("the same lines give the same report twice, ten thousand of them", async () => {
  const lines = Array.from({ length: 10_000 }, (_, at) => line(at / 100, { userId: `u${at % 40}` }));
  const [first, second] = [await replay(limited(50), lines), await replay(limited(50), lines)];
  assert.deepEqual(first, second);
  assert.ok(first.changed.length === 1);
});
