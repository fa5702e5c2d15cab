// `outrigger check` as a user runs it: as a process, with a real Redis that has users, and a service.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { aclLine } from "../../src/cli/redis-acl.ts";
import { mainFile, outrigger, startNode } from "../support/process.ts";
import { eventually, freePort, type RedisServer, startCluster, startRedis } from "../support/redis.ts";

interface Told {
  readonly ok: boolean;
  readonly checks: readonly { name: string; state: string; message: string; advice?: string }[];
}

describe("outrigger check", () => {
  let redis: RedisServer;
  const folder = mkdtempSync(join(tmpdir(), "outrigger-check-"));
  const service = http.createServer((_request, response) => response.end("x"));
  const as = (user: string): string => redis.url.replace("//", `//${user}:SIDECAR_PASSWORD@`);
  const check = async (env: Record<string, string>) => {
    const upstream = `http://127.0.0.1:${(service.address() as AddressInfo).port}`;
    const { code, stdout, stderr } = await outrigger(["check", "--json"], {
      OUTRIGGER_SERVICE: "orders",
      OUTRIGGER_UPSTREAM: upstream,
      OUTRIGGER_STATE_DIR: folder,
      ...env,
    });
    assert.equal(stderr, "");
    const told = JSON.parse(stdout) as Told;
    assert.equal(told.ok, code === 0);
    const named = (name: string) => told.checks.filter((each) => each.name === name);
    const states = (name: string) => named(name).map(({ state }) => state);
    return { code, told, named, states };
  };

  before(async () => {
    const own = aclLine("orders", "outrigger:");
    const less = aclLine("orders", "outrigger:")
      .replace("user sidecar-orders", "user less")
      .replace(" +xadd", "")
      .replace(" +subscribe", "")
      .replace(" ~outrigger:logs:orders", "");
    const file = join(folder, "users.conf");
    writeFileSync(file, `${own}\n${less}\n`);
    redis = await startRedis({ args: ["--include", file] });
    const lint = {
      allow: ["unauthenticated-route", "unlimited-route"].map((code) => ({ code, reason: "test" })),
    };
    await redis.cli.set(
      "outrigger:policy",
      JSON.stringify({ apiVersion: "outrigger/v1", plugins: ["logging"], lint }),
    );
    service.listen(0, "127.0.0.1");
    await once(service, "listening");
  });
  after(async () => {
    service.close();
    await redis.close();
    rmSync(folder, { recursive: true });
  });

  test("is content with the user that redis-acl prints, and leaves nothing in Redis", async () => {
    const before = await redis.cli.keys("*");
    const { code, told, states } = await check({ REDIS_URL: as("sidecar-orders") });
    assert.equal(code, 0, JSON.stringify(told.checks));
    assert.deepEqual(states("rights"), ["ok"]);
    assert.deepEqual([...states("redis"), ...states("clock"), ...states("policy")], ["ok", "ok", "ok"]);
    await eventually("its scratch keys are gone", async () => {
      return JSON.stringify(await redis.cli.keys("*")) === JSON.stringify(before);
    });
  });

  test("names what rights are lacking and what that costs, and those that are too many", async () => {
    const less = await check({ REDIS_URL: as("less") });
    assert.equal(less.code, 1);
    const told = less.named("rights").map(({ state, message }) => `${state} ${message}`);
    assert.match(told[0] ?? "", /^fail this user lacks ~outrigger:logs:orders$/);
    assert.ok(told.some((text) => /^warn .*\+xadd: no log stream/.test(text)));
    assert.ok(told.some((text) => /^warn .*\+subscribe: changes are looked for/.test(text)));
    assert.match(less.named("rights")[0]?.advice ?? "", /redis-acl --service orders/);
    const many = await check({ REDIS_URL: redis.url });
    assert.deepEqual([many.code, many.states("rights")], [0, ["warn"]]);
    assert.match(many.named("rights")[0]?.message ?? "", /may write policy and apikey:\*/);
    // What the sidecars that run have in force stays.
    const none = await check({ REDIS_URL: redis.url, OUTRIGGER_KEY_PREFIX: "none:" });
    assert.match(none.named("policy")[0]?.message ?? "", /has no none:policy: a sidecar that starts now/);
  });

  test("one line each, in text, for an environment, Redis or service that is wrong; exit 2, 1, 1", async () => {
    const wrong = await outrigger(["check"], { OUTRIGGER_LISTN: "x", LOG_LEVEL: "loud" });
    assert.deepEqual([wrong.code, wrong.stderr, wrong.stdout.trimEnd().split("\n").length], [2, "", 2]);
    assert.match(wrong.stdout, /^fail environment: LOG_LEVEL: /m);
    const url = `redis://:hunter2@127.0.0.1:${await freePort()}`;
    const gone = await outrigger(["check"], { REDIS_URL: url, OUTRIGGER_UPSTREAM: "http://127.0.0.1:1" });
    assert.equal(gone.code, 1);
    assert.match(gone.stdout, /^fail redis: 127\.0\.0\.1:\d+ cannot be used: ECONNREFUSED; start it/m);
    assert.match(gone.stdout, /^fail upstream: 127\.0\.0\.1:1: ECONNREFUSED; start the service/m);
    assert.match(gone.stdout, /^warn policy: not looked at/m);
    assert.doesNotMatch(gone.stdout, /hunter2/);
    const pass = await check({ REDIS_URL: as("sidecar-orders").replace("SIDECAR_PASSWORD", "nope") });
    assert.match(pass.named("redis")[0]?.message ?? "", /WRONGPASS/);
    assert.match(pass.named("redis")[0]?.advice ?? "", /user and password/);
  });

  test("a replica, and a policy that is refused or missing, fail", async () => {
    const replica = await startRedis({ args: ["--replicaof", "127.0.0.1", String(redis.port)] });
    try {
      await eventually("it follows", async () => /master_link_status:up/.test(await replica.cli.info()));
      const { code, states } = await check({ REDIS_URL: replica.url });
      assert.deepEqual([code, states("redis")], [1, ["ok", "fail"]]);
      assert.deepEqual(states("rights"), ["fail"]);
    } finally {
      await replica.close();
    }
    const none = await check({ REDIS_URL: redis.url, OUTRIGGER_KEY_PREFIX: "other:" });
    assert.match(none.named("policy")[0]?.message ?? "", /has no other:policy/);
    await redis.cli.set("bad:policy", '{"apiVersion":"outrigger/v1","plugins":["nosuch"]}');
    const bad = await check({ REDIS_URL: redis.url, OUTRIGGER_KEY_PREFIX: "bad:" });
    assert.match(bad.named("policy")[0]?.message ?? "", /bad:policy is refused: .*nosuch/);
  });

  test("API keys that end soon or cannot be read, where the user may list them", async () => {
    const env = { REDIS_URL: redis.url, OUTRIGGER_KEY_PREFIX: "keys:" };
    const create = (...args: string[]) => outrigger(["keys", "create", "--user", "ada", ...args], env);
    assert.equal((await create()).code, 0);
    assert.deepEqual((await check(env)).states("auth/api-keys"), ["ok"]);
    assert.equal((await create("--expires", "3d")).code, 0);
    await redis.cli.set(`keys:apikey:${"0".repeat(64)}`, "no record");
    const { named } = await check(env);
    const told = named("auth/api-keys").map(({ state, message }) => `${state} ${message}`);
    assert.match(told[0] ?? "", /^fail a record cannot be read/);
    assert.match(told[1] ?? "", /^warn end soon: \S+ of ada in 2d$/);
    const own = await check({ REDIS_URL: as("sidecar-orders") });
    assert.match(own.named("auth/api-keys")[0]?.message ?? "", /may not list them/);
  });

  test("a signed policy: who may sign, until when it counts, and one that is signed by nobody", async () => {
    const key = join(folder, "key.json");
    const { stdout: keys } = await outrigger(["policy", "keygen", key]);
    const file = join(folder, "policy.yaml");
    writeFileSync(file, "apiVersion: outrigger/v1\nroutes: []\n");
    const { stdout: signed } = await outrigger(["policy", "sign", file, "--key", key, "--expires", "1d"]);
    await redis.cli.set("signed:policy", signed);
    await redis.cli.set("signed:policy-keys", "{}");
    const env = { REDIS_URL: redis.url, OUTRIGGER_POLICY_KEYS: keys };
    const right = await check({ ...env, OUTRIGGER_KEY_PREFIX: "signed:" });
    assert.deepEqual([right.states("policy-keys"), right.states("policy")], [["ok", "warn"], ["ok"]]);
    assert.match(right.named("policy-keys")[1]?.message ?? "", /do not count: policy-keys: is not signed/);
    assert.deepEqual(right.states("signature"), ["warn"]);
    const wrong = await check(env);
    assert.match(wrong.named("policy")[0]?.message ?? "", /is refused: .*is not signed/);
  });

  test("a Redis that takes connections and says nothing is a line, too, within seconds", async () => {
    redis.freeze();
    try {
      const { code, named } = await check({ REDIS_URL: redis.url });
      assert.equal(code, 1);
      assert.match(named("redis")[0]?.message ?? "", /no answer in time|connection lost/);
    } finally {
      redis.thaw();
    }
  });

  test("a Cluster is looked at in whole", async () => {
    const cluster = await startCluster();
    try {
      const { states } = await check({ REDIS_URL: cluster.url });
      assert.deepEqual([states("redis"), states("clock"), states("rights")], [["ok"], ["ok"], ["warn"]]);
    } finally {
      await cluster.close();
    }
  });

  test("ends quietly when the reader of its output has left", async () => {
    const { child, end } = startNode([mainFile, "check"]);
    child.stdout.destroy();
    await once(child, "close");
    assert.deepEqual([(await end).code, (await end).stderr], [1, ""], "no service answers");
  });
});
