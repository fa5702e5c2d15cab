// A policy with tests of its own reaches sidecars: if a test fails, the policy is refused before it is in force, with
// the test's name, and the tests leave no traces anywhere.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { connect } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { mainFile, outrigger, startNode } from "../support/process.ts";
import { eventually, type RedisServer, startRedis } from "../support/redis.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

const policyOf = (mark: string, more: object = {}): string =>
  JSON.stringify({
    apiVersion: "outrigger/v1",
    plugins: ["logging", "auth", "rate-limit", "cache", "transform"],
    pluginConfig: {
      logging: { stream: true },
      "rate-limit": { limits: [{ name: "all", by: "ip", limit: 1_000_000, window: "1m" }] },
      transform: { addResponseHeaders: { "X-Mark": mark } },
    },
    routes: [{ path: "/open", plugins: ["transform"] }, { path: "/guarded" }],
    ...more,
  });

const passed = [
  { name: "strangers stay outside", request: { path: "/guarded" }, expect: { status: 401, plugin: "auth" } },
  {
    name: "unknown keys stay outside",
    request: { path: "/guarded", headers: { "x-api-key": "no-key-that-anybody-has" } },
    expect: { status: 401 },
  },
  {
    name: "users come in",
    request: { path: "/guarded", identity: { userId: "test-user" } },
    upstream: { headers: { "cache-control": "max-age=60" }, body: "of a test" },
    expect: { status: 200, upstreamHeaders: { "x-user-id": "test-user" } },
  },
];
const failed = [{ name: "guests are welcome", request: { path: "/guarded" }, expect: { status: 200 } }];

interface Status {
  readonly revision: number;
  readonly overruled: readonly { readonly message: string }[];
  readonly lastError: { readonly problems: readonly { readonly message: string }[] } | null;
}

describe("in a fleet", () => {
  let redis: RedisServer;
  let sidecar: TestSidecar;
  const folder = mkdtempSync(join(tmpdir(), "outrigger-policy-tests-"));
  const run = (...args: string[]) => outrigger(args, { REDIS_URL: redis.url });
  const file = (text: string): string => {
    const path = join(folder, "policy.json");
    writeFileSync(path, text);
    return path;
  };
  const mark = async (): Promise<string | null> => (await fetch(`${sidecar.url}/open`)).headers.get("x-mark");
  const untilMark = (wanted: string) => eventually(wanted, async () => (await mark()) === wanted);
  const untilProblem = (pattern: RegExp) =>
    eventually(String(pattern), async () => pattern.test(await lastProblem()));
  const untilWell = () => eventually("no problem", async () => (await status()).lastError === null);
  const status = async (): Promise<Status> =>
    (await (await fetch(`${sidecar.adminUrl}/policy`)).json()) as Status;
  const lastProblem = async () => (await status()).lastError?.problems[0]?.message ?? "";

  before(async () => {
    redis = await startRedis();
    await redis.cli.set("outrigger:policy", policyOf("first"));
    sidecar = await startSidecar({
      upstream: (_request, response) => response.end("ok"),
      redisUrl: redis.url,
      env: { OUTRIGGER_SERVICE: "users", OUTRIGGER_INSTANCE: "u1" },
    });
    await untilMark("first");
  });
  after(async () => {
    await sidecar.stop();
    await redis.close();
    rmSync(folder, { recursive: true });
  });

  test("one whose tests are passed is put in force", async () => {
    await redis.cli.set("outrigger:policy", policyOf("second", { tests: passed }));
    await untilMark("second");
    assert.equal((await status()).lastError, null);
  });

  test("one that fails a test is refused by its name, in the log, the status and the receipt", async () => {
    await redis.cli.set("outrigger:policy", policyOf("refused", { tests: [...passed, ...failed] }));
    const line = await sidecar.line(({ msg }) => String(msg).startsWith("policy refused"));
    assert.match(JSON.stringify(line["problems"]), /guests are welcome.*the status is 401, not 200/);
    assert.match(
      await lastProblem(),
      /^test "guests are welcome": the status is 401, not 200; refused because:/,
    );
    assert.equal(await mark(), "second");
    await eventually("its receipt", async () =>
      ((await redis.cli.get("outrigger:fleet:users:u1")) ?? "").includes("guests are welcome"),
    );
  });

  test("a layer that fails a test of the shared policy is refused alone", async () => {
    await redis.cli.set("outrigger:policy", policyOf("third", { tests: passed }));
    await untilMark("third");
    const open = JSON.stringify({
      apiVersion: "outrigger/v1",
      routes: [{ path: "/guarded", plugins: ["logging"] }],
    });
    await redis.cli.set("outrigger:policy:users", open);
    await untilProblem(/^test "strangers stay outside"/);
    assert.equal((await fetch(`${sidecar.url}/guarded`)).status, 401);
    await redis.cli.set("outrigger:policy", policyOf("fourth", { tests: passed }));
    await untilMark("fourth");
    assert.equal((await fetch(`${sidecar.url}/guarded`)).status, 401);
    assert.match(await lastProblem(), /^test "strangers stay outside"/);
    await redis.cli.del("outrigger:policy:users");
    await untilWell();
  });

  test("a layer that stands holds no shared policy back by a test of its own, which is told", async () => {
    const own = [
      { name: "our own", request: { path: "/open" }, expect: { headers: { "x-mark": "fourth" } } },
    ];
    const layer = JSON.stringify({ apiVersion: "outrigger/v1", routes: [{ path: "/own" }], tests: own });
    await redis.cli.set("outrigger:policy:users", layer);
    await eventually("the layer", async () => (await fetch(`${sidecar.url}/own`)).status === 401);
    await redis.cli.set("outrigger:policy", policyOf("fifth", { tests: passed }));
    await untilMark("fifth");
    const { overruled, lastError } = await status();
    assert.match(overruled[0]?.message ?? "", /^test "our own": the answer has another x-mark/);
    assert.equal(lastError, null);
    await redis.cli.del("outrigger:policy:users");
    await redis.cli.set("outrigger:policy", policyOf("fourth", { tests: passed }));
    await untilMark("fourth");
  });

  test("nothing of the tests is in Redis, the log or the metrics", async (t) => {
    const told = /apikey:|rl:|logs:|cache:|keyuse:|session|test-user|of a test/;
    const commands: string[] = [];
    const monitor = connect(redis.port, "127.0.0.1");
    let heard = "";
    monitor.setEncoding("utf8").on("data", (text: string) => {
      const lines = `${heard}${text}`.split("\r\n");
      heard = lines.pop() ?? "";
      // The document itself, also as what was SET past the history.
      commands.push(
        ...lines.filter((line) => !/"m?[sg]et" "outrigger:policy|"outrigger:direct"/i.test(line)),
      );
    });
    t.after(() => monitor.destroy());
    monitor.write("MONITOR\r\n");
    await eventually("it is watched", () => commands.includes("+OK"));
    const counted = async () => {
      const lines = (await sidecar.metrics()).split("\n");
      return lines.filter((line) =>
        /^outrigger_(auth|cache_requests|rate_limit|requests|plugin)_?/.test(line),
      );
    };
    const [before, linesBefore] = [await counted(), sidecar.lines.length];
    await redis.cli.set(
      "outrigger:policy",
      policyOf("fourth", { tests: [...passed, { ...passed[0], name: "more" }] }),
    );
    await redis.cli.set("outrigger:policy", policyOf("quiet", { tests: [...passed, ...failed] }));
    await untilProblem(/guests are welcome/);
    await redis.cli.set("outrigger:policy", policyOf("fourth", { tests: passed }));
    await untilWell();
    const lines = sidecar.lines.slice(linesBefore);
    assert.deepEqual(
      lines.filter(({ msg }) => !/^policy (?:refused|in force)/.test(String(msg))),
      [],
    );
    assert.deepEqual(await counted(), before);
    assert.deepEqual(
      commands.filter((text) => told.test(text)),
      [],
    );
    // A real request is seen, in all three.
    await fetch(`${sidecar.url}/guarded`, { headers: { "x-api-key": "no-key-that-anybody-has" } });
    await sidecar.line(
      ({ msg, path, status: answered }) => msg === "request" && path === "/guarded" && answered === 401,
    );
    await eventually("it in Redis", () => commands.some((text) => told.test(text)));
    assert.notDeepEqual(await counted(), before);
  });

  test("apply changes nothing for one that fails a test", async () => {
    const stood = await redis.cli.get("outrigger:policy");
    const { code, stdout, stderr } = await run("policy", "apply", file(policyOf("no", { tests: failed })));
    assert.deepEqual([code, stdout], [1, ""]);
    assert.match(stderr, /policy\.json.*: tests\[0\]: test "guests are welcome": the status is 401, not 200/);
    assert.equal(await redis.cli.get("outrigger:policy"), stood);
    const layer = JSON.stringify({ apiVersion: "outrigger/v1", tests: failed });
    assert.equal((await run("policy", "apply", "--service", "users", file(layer))).code, 1);
    assert.equal(await redis.cli.exists("outrigger:policy:users"), 0);
    const good = await run("policy", "apply", file(policyOf("applied", { tests: passed })));
    assert.equal(good.code, 0, good.stderr);
    await untilMark("applied");
  });

  test("what a client sends makes nobody of it the caller that a test would have", async () => {
    const answer = await fetch(`${sidecar.url}/guarded`, {
      headers: {
        identity: '{"userId":"test-user"}',
        "x-user-id": "test-user",
        "x-outrigger-identity": "test-user",
      },
    });
    assert.equal(answer.status, 401);
  });
});

describe("with several workers", () => {
  test("the policy is tested before any of them sets it up", async () => {
    const folder = mkdtempSync(join(tmpdir(), "outrigger-policy-tests-"));
    try {
      const path = join(folder, "policy.json");
      writeFileSync(path, policyOf("x", { tests: failed }));
      const { child, said, end } = startNode([mainFile, "run"], {
        OUTRIGGER_LISTEN: "127.0.0.1:0",
        OUTRIGGER_ADMIN: "127.0.0.1:0",
        OUTRIGGER_POLICY_FILE: path,
        OUTRIGGER_WORKERS: "2",
        OUTRIGGER_DRAIN_MS: "100",
      });
      const log = await said("policy refused");
      assert.match(log, /guests are welcome/);
      assert.equal(log.split("\n").filter((line) => line.includes("guests are welcome")).length, 1);
      child.kill("SIGTERM");
      await end;
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
