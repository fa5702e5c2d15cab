// The audit trail of real sidecars: what is recorded, when answers wait for it, and what happens if it cannot be
// written.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { describe, test } from "node:test";
import { auditJwk, auditPlace } from "../support/audit.ts";
import { startCollector, startGrpcCollector } from "../support/collector.ts";
import { outrigger } from "../support/process.ts";
import { connectRaw } from "../support/raw-client.ts";
import { eventually, startRedis } from "../support/redis.ts";
import { startSidecar } from "../support/sidecar.ts";

const sha256 = createHash("sha256").update("secret-key").digest("hex");
const policy = (mode: string) => ({
  plugins: ["logging", "auth"],
  audit: { mode },
  pluginConfig: {
    auth: {
      exclude: ["/open/*"],
      apiKeys: { keys: [{ sha256, id: "key.1", userId: "ann.b", scopes: ["read"] }] },
      rules: [{ path: "/admin/*", allow: { scopes: { any: ["admin"] } } }],
    },
  },
});

describe("a copy of the audit trail in a collector", () => {
  for (const protocol of ["http/protobuf", "http/json", "grpc"] as const) {
    test(`has every line as it is in the file, over ${protocol}`, async () => {
      using place = auditPlace();
      await using collector = await (protocol === "grpc" ? startGrpcCollector() : startCollector());
      const sidecar = await startSidecar({
        policy: policy("buffered"),
        env: {
          ...place.env,
          OUTRIGGER_AUDIT_SINKS: "otlp",
          OTEL_TRACES_EXPORTER: "none",
          OTEL_EXPORTER_OTLP_PROTOCOL: protocol,
          OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
        },
        upstream: (_request, response) => response.end("hello"),
      });
      await (await fetch(sidecar.url, { headers: { "x-api-key": "secret-key" } })).text();
      await sidecar.stop();
      const lines = readFileSync(place.file, "utf8").split("\n").slice(0, -1);
      assert.deepEqual(
        collector.logs.map(({ body }) => body),
        lines,
      );
      const access = collector.logs.find(({ event }) => event === "outrigger.audit.access");
      assert.ok(access !== undefined);
      const { seq, chain, trace, at } = JSON.parse(access.body) as Record<string, unknown>;
      assert.equal(access.traceId, trace);
      assert.equal(access.nanos, BigInt(Date.parse(String(at))) * 1_000_000n);
      assert.equal(String(access.attributes["outrigger.audit.seq"]), String(seq));
      assert.equal(access.attributes["outrigger.audit.chain"], chain);
    });
  }

  test("costs nobody anything when the collector refuses it: told of once, and counted", async () => {
    using place = auditPlace();
    const tooLarge = Array.from({ length: 20 }, () => ({ status: 413 }) as const);
    await using collector = await startCollector(...tooLarge);
    await using sidecar = await startSidecar({
      policy: policy("blocking"),
      env: {
        ...place.env,
        OUTRIGGER_AUDIT_SINKS: "file,otlp",
        OTEL_TRACES_EXPORTER: "none",
        OTEL_EXPORTER_OTLP_LOGS_ENDPOINT: `${collector.url}/v1/logs`,
      },
      upstream: (_request, response) => response.end("hello"),
    });
    for (const round of [1, 2]) {
      assert.equal((await fetch(sidecar.url, { headers: { "x-api-key": "secret-key" } })).status, 200);
      await collector.requested(round);
    }
    const missing = /^outrigger_audit_records_total\{.*result="uncopied"\} [1-9]/m;
    await eventually("it is counted", async () => missing.test(await sidecar.metrics()));
    const told = sidecar.lines.filter(({ msg }) => String(msg).includes("copies of audit records"));
    assert.deepEqual(
      told.map(({ reason }) => reason),
      ["HTTP status 413"],
    );
  });
});

describe("an audit trail", () => {
  test("has a record of every decision, with its reason, before the answer, and nothing of persons in clear", async () => {
    using place = auditPlace();
    await using sidecar = await startSidecar({
      policy: policy("blocking"),
      env: place.env,
      upstream: (_request, response) => response.end("hello"),
    });
    const ask = (path: string, key?: string): Promise<Response> =>
      fetch(`${sidecar.url}${path}`, { headers: key === undefined ? {} : { "x-api-key": key } });
    const last = (): Record<string, unknown> =>
      place.records().findLast(({ kind }) => kind === "access") as Record<string, unknown>;
    assert.equal((await ask("/things/7", "secret-key")).status, 200);
    const { decision, status, method, route, credentialKind, policy: digest, trace } = last();
    assert.deepEqual(
      [decision, status, method, route, credentialKind],
      ["allowed", 200, "GET", "/*", "api-key"],
    );
    assert.match(String(digest), /^[0-9a-f]{64}$/);
    assert.match(String(trace), /^[0-9a-f]{32}$/);
    assert.equal((await ask("/things/7", "wrong-key")).status, 401);
    assert.deepEqual(
      [last()["decision"], last()["by"], last()["code"]],
      ["refused", "auth", "invalid_api_key"],
    );
    assert.equal((await ask("/admin/x", "secret-key")).status, 403);
    assert.equal(last()["decision"], "refused");
    assert.match(String(last()["rule"]), /scopes/);
    assert.equal((await ask("/open/x")).status, 200);
    assert.equal(last()["decision"], "allowed");
    assert.equal((await ask("/a%2fb")).status, 400);
    const before = place.records().length;
    const leaving = await connectRaw(sidecar.port);
    leaving.send("POST /open/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf");
    leaving.end();
    await eventually("a record of who left", () => place.records().length > before);
    assert.deepEqual(
      place
        .records()
        .slice(before)
        .map((record) => [record["decision"], record["status"]]),
      [["unanswered", 0]],
    );
    const text = JSON.stringify(place.records());
    for (const personal of ["ann.b", "key.1", "/things/7", "127.0.0.1"])
      assert.ok(!text.includes(personal), personal);
    assert.match(
      await sidecar.metrics(),
      /outrigger_audit_records_total\{service="default",result="written"\} \d/,
    );
  });

  test("goes on after a restart, says that its end was torn, and shows what was done to it", async () => {
    using place = auditPlace();
    const run = async (): Promise<void> => {
      await using sidecar = await startSidecar({
        policy: policy("buffered"),
        env: place.env,
        upstream: (_request, response) => response.end("hello"),
      });
      assert.equal((await fetch(`${sidecar.url}/x`, { headers: { "x-api-key": "secret-key" } })).status, 200);
    };
    await run();
    appendFileSync(place.file, '{"seq":99,"prev":"');
    await run();
    const start = place.records().findLast(({ kind }) => kind === "start");
    assert.deepEqual(start?.["repaired"], { tornBytes: 18 });
    const verify = () => outrigger(["audit", "verify", place.file], place.env);
    const whole = await verify();
    assert.deepEqual([whole.code, whole.stdout.split("\n").length], [0, 2], whole.stdout);
    const lines = readFileSync(place.file, "utf8").split("\n");
    writeFileSync(place.file, lines.toSpliced(2, 1).join("\n"));
    const cut = await verify();
    assert.equal(cut.code, 1);
    assert.match(cut.stdout, /audit\.jsonl:3: .*: records 3 to 3 before it are missing/);
  });

  test("that cannot be written refuses in blocking mode, and forgets nobody's number", async () => {
    using place = auditPlace();
    let asked = 0;
    await using sidecar = await startSidecar({
      policy: policy("blocking"),
      env: { ...place.env, OUTRIGGER_AUDIT_FILE: "/proc/none/audit.jsonl" },
      upstream: (_request, response) => {
        asked += 1;
        response.end("hello");
      },
    });
    await sidecar.line(({ msg }) => String(msg).startsWith("audit records cannot be written"));
    const ask = (): Promise<Response> =>
      fetch(`${sidecar.url}/x`, { method: "POST", headers: { "x-api-key": "secret-key" }, body: "order" });
    const answers = [await ask(), await ask()];
    for (const answer of answers) {
      assert.equal(answer.status, 503);
      assert.equal(((await answer.json()) as { code: string }).code, "dependency_unavailable");
    }
    assert.equal(asked, 0, "what cannot be recorded is not done");
    const told = sidecar.lines.filter(({ msg }) => String(msg).startsWith("audit records cannot be written"));
    assert.equal(told.length, 1);
    sidecar.setPolicy(policy("buffered"));
    await eventually("the policy that waits for no record", async () => (await ask()).status === 200);
  });

  test("has a second record of who was let in and may not go on", async () => {
    using place = auditPlace();
    await using sidecar = await startSidecar({
      policy: policy("blocking"),
      env: { ...place.env, OUTRIGGER_RECHECK_MS: "100" },
      upstream(_request, response) {
        response.writeHead(200, { "Content-Type": "text/event-stream" });
        response.write("data: 1\n\n");
      },
    });
    const stream = await fetch(`${sidecar.url}/events`, { headers: { "x-api-key": "secret-key" } });
    const { pluginConfig, ...rest } = policy("blocking");
    sidecar.setPolicy({ ...rest, pluginConfig: { auth: { ...pluginConfig.auth, apiKeys: { keys: [] } } } });
    await stream.text();
    const decisions = () =>
      place.records().flatMap(({ kind, decision }) => (kind === "access" ? [decision] : []));
    await eventually("the second record", () => decisions().length > 1);
    assert.deepEqual(decisions(), ["allowed", "revoked"]);
  });

  test("is asked for and has no place: 503, and a line that says what to set", async () => {
    let asked = 0;
    await using sidecar = await startSidecar({
      policy: { plugins: ["logging"], audit: { mode: "blocking" } },
      upstream: (_request, response) => {
        asked += 1;
        response.end("hello");
      },
    });
    assert.deepEqual([(await fetch(`${sidecar.url}/x`)).status, asked], [503, 0]);
    await sidecar.line(({ msg }) => /set OUTRIGGER_AUDIT_KEY/.test(String(msg)));
  });

  test("has every change: policies in force and refused, log level, who looks on", async () => {
    using place = auditPlace();
    await using sidecar = await startSidecar({
      policy: policy("off"),
      env: place.env,
      upstream: (_request, response) => response.end("hello"),
    });
    sidecar.setPolicy({ plugins: ["none"] });
    await sidecar.line(({ msg }) => String(msg).startsWith("policy refused"));
    await fetch(`${sidecar.adminUrl}/loglevel`, { method: "PUT", body: JSON.stringify({ level: "debug" }) });
    await (await fetch(`${sidecar.adminUrl}/tap?status=5xx&for=1s`)).text();
    await fetch(`${sidecar.url}/x`);
    await sidecar.stop();
    const changes = place.records().filter(({ kind }) => kind === "change");
    assert.deepEqual(
      changes.map(({ what, result, level, filter }) => [what, result ?? level ?? filter]),
      [
        ["policy", "in force"],
        ["policy", "refused"],
        ["log-level", "debug"],
        ["tap", "status=5xx&for=1s"],
      ],
    );
    assert.ok(!place.records().some(({ kind }) => kind === "access"));
  });

  test("of siblings in Redis interlocks; a person is found, exported and forgotten there", async (t) => {
    const server = await startRedis();
    t.after(() => server.close());
    using place = auditPlace();
    const { OUTRIGGER_AUDIT_KEY = "" } = place.env;
    const env = { OUTRIGGER_AUDIT_KEY, OUTRIGGER_SERVICE: "shop" };
    const cli = (...args: string[]) => outrigger(["audit", ...args], { ...env, REDIS_URL: server.url });
    for (const instance of ["pod-a", "pod-b"]) {
      await using sidecar = await startSidecar({
        policy: policy("blocking"),
        redisUrl: server.url,
        env: { ...env, OUTRIGGER_INSTANCE: instance },
        upstream: (_request, response) => response.end("hello"),
      });
      const headers = { "x-api-key": "secret-key" };
      await eventually(
        "the policy",
        async () => (await fetch(`${sidecar.url}/ann`, { headers })).status === 200,
      );
    }
    const verified = await cli("verify", "--json");
    assert.equal(verified.code, 0, verified.stdout);
    const { chains } = JSON.parse(verified.stdout) as { chains: { chain: string }[] };
    assert.equal(chains.map(({ chain }) => chain.split("~")[0]).join(), "pod-a,pod-b");
    const found = await cli(
      "search",
      "--subject",
      "ann.b",
      "--decision",
      "allowed",
      "--since",
      "1h",
      "--json",
    );
    const records = found.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { person: { path: string } });
    assert.deepEqual(
      records.map(({ person }) => person.path),
      ["/ann", "/ann"],
    );
    assert.match((await cli("export", "--subject", "ann.b")).stdout, /"userId":"ann\.b"/);
    const withAnother = { OUTRIGGER_AUDIT_KEY: JSON.stringify(auditJwk()), OUTRIGGER_SERVICE: "shop" };
    const vain = await outrigger(["audit", "forget", "--subject", "ann.b"], {
      ...withAnother,
      REDIS_URL: server.url,
    });
    assert.equal(vain.code, 1);
    assert.match(vain.stderr, /keys? .* wrapped by an audit key that is not among those given/);
    assert.equal((await cli("forget", "--subject", "ann.b")).stdout.slice(0, 13), "1 key deleted");
    assert.equal((await cli("search", "--subject", "ann.b")).code, 1);
    assert.doesNotMatch((await cli("search", "--json")).stdout, /ann\.b/);
    assert.equal((await cli("verify")).code, 0);
    const ofFirst = (await server.cli.xrange("outrigger:audit:shop", "-", "+")).filter(([, fields]) =>
      fields[1]?.startsWith("pod-a"),
    );
    // The second has seen the first one's head.
    await server.cli.xdel("outrigger:audit:shop", ofFirst.at(-1)?.[0] ?? "");
    const cut = await cli("verify");
    assert.equal(cut.code, 1);
    assert.match(
      cut.stdout,
      /pod-a~\S+: ends at record \d+; audit:shop \S+ has seen record \d+: the end was removed/,
    );
  });
});
