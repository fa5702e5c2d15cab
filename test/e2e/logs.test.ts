// `outrigger logs` as a user runs it: processes, a real Redis, a real sidecar that writes its stream.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { mainFile, outrigger, type Started, startNode } from "../support/process.ts";
import { eventually, freePort, type RedisServer, startRedis } from "../support/redis.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

describe("outrigger logs", () => {
  let redis: RedisServer;
  let sidecar: TestSidecar;
  const running: Started[] = [];
  const env = () => ({ REDIS_URL: redis.url });
  const run = (...args: string[]) => outrigger(["logs", ...args], env());
  const follow = (...args: string[]): Started => {
    const started = startNode([mainFile, "logs", "-f", ...args], env());
    running.push(started);
    return started;
  };
  const written = async (key: string, count: number): Promise<void> =>
    eventually(`${count} lines in ${key}`, async () => (await redis.cli.xlen(`outrigger:${key}`)) >= count);
  const add = (service: string, line: object) =>
    redis.cli.xadd(`outrigger:logs:${service}`, "*", "line", JSON.stringify(line));

  before(async () => {
    redis = await startRedis();
    await redis.cli.set(
      "outrigger:policy",
      JSON.stringify({
        apiVersion: "outrigger/v1",
        plugins: ["logging"],
        pluginConfig: { logging: { stream: true } },
        routes: [{ path: "/a/*" }, { path: "/b" }],
      }),
    );
    sidecar = await startSidecar({
      upstream: (request, response) => {
        response.statusCode = request.url === "/b" ? 500 : 200;
        response.end("x");
      },
      env: { REDIS_URL: redis.url, OUTRIGGER_SERVICE: "orders" },
    });
    await eventually("it has the policy", async () => (await fetch(`${sidecar.url}/a/1`)).status === 200);
    for (const path of ["/b", "/a/2", "/nowhere"]) await (await fetch(sidecar.url + path)).text();
    await written("logs:orders", 4);
    await redis.cli.zadd("outrigger:fleet:seen", Date.now(), "users", Date.now(), "orders");
    await add("users", { status: 404, path: "/u", route: "/u", timestamp: "T" });
  });
  after(async () => {
    for (const { child } of running) child.kill("SIGKILL");
    await sidecar.stop();
    await redis.close();
  });

  test("prints what all services logged, in time, and filters it", async () => {
    const { code, stdout, stderr } = await run();
    assert.deepEqual([code, stderr], [0, ""]);
    const lines = stdout.trimEnd().split("\n");
    assert.match(lines.at(-1) ?? "", /^T users 404 - \/u - ms/);
    assert.match(lines.at(-3) ?? "", /^\S+Z orders 200 GET \/a\/2 [\d.]+ ms - 127\.0\.0\.1 \S+$/);
    assert.match((await run("--status", "5xx")).stdout, /^[^\n]+ 500 GET \/b [^\n]+\n$/);
    assert.match((await run("--service", "users")).stdout, /^T users [^\n]+\n$/);
    assert.match((await run("--route", "/a/*", "-n", "1")).stdout, /^[^\n]+ GET \/a\/2 [^\n]+\n$/);
    const json = await run("--json", "--status", "500,404", "--service", "orders");
    const records = json.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.deepEqual(
      records.map(({ service, status, path }) => [service, status, path]),
      [
        ["orders", 500, "/b"],
        ["orders", 404, "/nowhere"],
      ],
    );
  });

  test("policy replay runs the lines of the streams through a policy, each service's layer over it", async () => {
    await redis.cli.set(
      "outrigger:policy:orders",
      JSON.stringify({
        apiVersion: "outrigger/v1",
        routes: [{ path: "/a/2", plugins: ["respond"], pluginConfig: { respond: { status: 410 } } }],
      }),
    );
    const folder = mkdtempSync(join(tmpdir(), "outrigger-replay-"));
    const file = join(folder, "policy.yaml");
    writeFileSync(file, "apiVersion: outrigger/v1\nplugins: [logging]\nroutes: [{ path: /a/* }]\n");
    const replay = ["policy", "replay", file, "--service", "orders"];
    const { code, stdout, stderr } = await outrigger(replay, env());
    const { publicKey } = generateKeyPairSync("ed25519");
    const keys = JSON.stringify({
      keys: [{ ...publicKey.export({ format: "jwk" }), kid: "k", alg: "EdDSA" }],
    });
    const signedAlone = await outrigger(replay, { ...env(), OUTRIGGER_POLICY_KEYS: keys });
    await redis.cli.del("outrigger:policy:orders");
    rmSync(folder, { recursive: true });
    assert.deepEqual([code, stderr], [0, ""]);
    assert.match(stdout, /^4 requests to orders, \S+ to \S+: 2 would be answered as they were\n/);
    assert.match(stdout, /^1 +orders +\/b -> \(none\) +the service's 500 +404 by sidecar /m);
    // Sidecars would not take that layer.
    assert.match(
      signedAlone.stderr,
      /^policy:orders in Redis is left out: no key of OUTRIGGER_POLICY_KEYS signed it/,
    );
    assert.doesNotMatch(signedAlone.stdout, /410 by respond/);
    assert.match(stdout, /^1 +orders +\/a\/\* -> \/a\/2 +the service's 200 +410 by respond /m);
  });

  test("policy coverage takes a service's operations from the streams", async () => {
    const folder = mkdtempSync(join(tmpdir(), "outrigger-coverage-"));
    const file = join(folder, "policy.yaml");
    writeFileSync(file, "apiVersion: outrigger/v1\nplugins: [logging]\nroutes: [{ path: /a/* }]\n");
    const args = ["policy", "coverage", file, "--service", "orders", "--from-logs"];
    const { code, stdout, stderr } = await outrigger(args, env());
    rmSync(folder, { recursive: true });
    assert.equal(code, 0);
    assert.match(stdout, /^GET +\/a\/\{id\} +\/a\/\* +anyone /m);
    assert.match(stdout, /^GET +\/b +- +nobody: no route /m);
    assert.doesNotMatch(stdout, /nowhere/);
    assert.match(stderr, /answered in the log streams of the last 1h: /);
  });

  test("-f goes on with what comes, a new service's too, until Ctrl-C, which is no fault", async () => {
    const { child, said, end } = follow("-n", "1", "--status", "4xx");
    await said("/u");
    await add("users", { status: 200, path: "/no" });
    await add("users", { status: 418, path: "/tea" });
    await said("/tea");
    await redis.cli.zadd("outrigger:fleet:seen", Date.now(), "new");
    await add("new", { status: 404, path: "/fresh" });
    await said("/fresh");
    child.kill("SIGINT");
    const { code, stdout, stderr } = await end;
    assert.deepEqual([code, stderr], [0, ""]);
    assert.equal(stdout.trimEnd().split("\n").length, 3);
  });

  test("-f ends when the reader of its output has left", async () => {
    const { child, said, end } = follow("-n", "1");
    await said("\n");
    child.stdout.destroy();
    const writing = setInterval(() => void add("users", { status: 200, path: "/more" }), 50);
    await once(child, "close");
    clearInterval(writing);
    assert.deepEqual([(await end).code, (await end).stderr], [0, ""]);
  });

  test("-f says once that Redis is away, and goes on when it is back", async () => {
    const other = await startRedis();
    const child = spawn(process.execPath, [mainFile, "logs", "-f", "--service", "s"], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { PATH: process.env["PATH"], REDIS_URL: other.url },
    });
    try {
      let [heard, told] = ["", ""];
      child.stdout.on("data", (chunk: Buffer) => (heard += chunk.toString()));
      child.stderr.on("data", (chunk: Buffer) => (told += chunk.toString()));
      const ended = once(child, "close");
      await other.cli.xadd("outrigger:logs:s", "*", "line", '{"path":"/one"}');
      await eventually("the first line", () => heard.includes("/one"));
      await other.stop();
      await eventually("it says that Redis is away", () => told.includes("out of reach"));
      await other.restart();
      await eventually("it says that Redis is back", () => told.includes("is back"));
      await other.cli.xadd("outrigger:logs:s", "*", "line", '{"path":"/two"}');
      await eventually("the second line", () => heard.includes("/two"));
      child.kill("SIGINT");
      assert.deepEqual(await ended, [0, null]);
      assert.match(told, /^Redis is out of reach \([^\n]+\): going on when it is back\nRedis is back\n$/);
    } finally {
      child.kill("SIGKILL");
      await other.close();
    }
  });

  test("one line each for what is wrong: arguments, no Redis, not let in, no right, nobody there", async () => {
    for (const args of [["--status", "abc"], ["-n", "x"], ["-n", "-1"], ["--nosuch"]]) {
      const { code, stdout, stderr } = await run(...args);
      assert.deepEqual([code, stdout, stderr.trimEnd().split("\n").length], [2, "", 1], args.join(" "));
    }
    assert.deepEqual(
      [(await outrigger(["logs"])).code, (await outrigger(["logs"])).stderr.split("\n").length],
      [2, 2],
    );
    const nobody = await outrigger(["logs"], { REDIS_URL: `redis://127.0.0.1:${await freePort()}` });
    assert.deepEqual([nobody.code, nobody.stdout, nobody.stderr.trimEnd().split("\n").length], [1, "", 1]);
    await redis.cli.acl("SETUSER", "poor", "on", ">poor", "~*", "&*", "+@all", "-xrevrange");
    const refused = await outrigger(["logs"], { REDIS_URL: redis.url.replace("//", "//poor:wrong@") });
    assert.equal(refused.code, 1);
    assert.doesNotMatch(refused.stderr, /wrong@/);
    const poor = await outrigger(["logs"], { REDIS_URL: redis.url.replace("//", "//poor:poor@") });
    assert.equal(poor.code, 1);
    assert.match(poor.stderr, /^REDIS_URL: Redis answers NOPERM: [^\n]+\n$/);
    const empty = await outrigger(["logs"], { ...env(), OUTRIGGER_KEY_PREFIX: "other:" });
    assert.deepEqual([empty.code, empty.stdout], [1, ""]);
    assert.match(empty.stderr, /^no service has had a sidecar [^\n]+\n$/);
  });
});
