// The ACL lets a sidecar with every plugin do everything it needs, and nothing else.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Redis } from "ioredis";
import { aclLine } from "../../src/cli/redis-acl.ts";
import { keyDigest } from "../../plugins/auth/api-keys/key-format.ts";
import { root } from "../support/dockerfile.ts";
import { eventually, type RedisServer, startRedis } from "../support/redis.ts";
import { outrigger } from "../support/process.ts";
import { startSidecar } from "../support/sidecar.ts";

const policy = {
  apiVersion: "outrigger/v1",
  plugins: ["logging", "ip-filter", "cors", "auth", "rate-limit", "cache", "transform"],
  pluginConfig: {
    logging: { stream: true },
    "ip-filter": { lists: ["office", "home"] },
    "rate-limit": {
      limits: [
        { name: "exact", by: "subject", limit: 100, window: "1m", mode: "exact" },
        { name: "leased", by: "subject", limit: 1000, window: "1m", mode: "leased" },
        { name: "sliding", by: "subject", limit: 100, window: "1m", algorithm: "sliding" },
        { name: "fixed", by: "subject", limit: 100, window: "1m", algorithm: "fixed" },
      ],
    },
    cache: { ttlSeconds: 60, respectOrigin: false },
  },
};

const storeKeys = randomBytes(32).toString("base64url");
let redis: RedisServer;
let folder: string;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "outrigger-acl-"));
  const users = readFileSync(join(root, "deploy/redis-acl.conf"), "utf8")
    .replaceAll("SIDECAR_PASSWORD", "sidecar-secret")
    .replaceAll("OPERATOR_PASSWORD", "operator-secret");
  const file = join(folder, "users.conf");
  const others = ["orders", "users"].map((service) => aclLine(service, "outrigger:", { login: true }));
  const further = others.join("\n").replaceAll("SIDECAR_PASSWORD", "sidecar-secret");
  writeFileSync(file, `${users}${further}\nuser watcher on >watcher-secret ~* &* +@all\n`);
  redis = await startRedis({ args: ["--include", file] });
});

after(async () => {
  await redis.close();
  rmSync(folder, { recursive: true });
});

const sidecarUser = "sidecar-sample";

async function as<Result>(name: string, use: (client: Redis) => Promise<Result>): Promise<Result> {
  const client = new Redis({
    port: redis.port,
    username: name,
    password: `${name.split("-")[0]}-secret`,
    disableClientInfo: true,
  });
  client.on("error", () => undefined);
  try {
    return await use(client);
  } finally {
    client.disconnect();
  }
}

/** What Redis refused, as "user: command or key". */
const refusals = (): Promise<string[]> =>
  as("watcher", async (client) => {
    const log = (await client.call("ACL", "LOG")) as string[][];
    const field = (entry: string[], name: string): string => entry[entry.indexOf(name) + 1] ?? "";
    return log.map(
      (entry) => `${field(entry, "username")}: ${field(entry, "reason")} ${field(entry, "object")}`,
    );
  });

test("a sidecar with every plugin is refused nothing", async (t) => {
  await as("operator", async (client) => {
    await client.set("outrigger:policy", JSON.stringify(policy));
    const record = { id: "k1", userId: "u1", scopes: [] };
    await client.set(`outrigger:apikey:${keyDigest("a-key")}`, JSON.stringify(record));
    await client.set("outrigger:ip-list:office", "127.0.0.0/8");
    await client.hset("outrigger:ip-list:home", "::1", "of nobody");
  });
  const sidecar = await startSidecar({
    upstream: (_request, response) => response.end("hello"),
    redisUrl: redis.url.replace("//", `//${sidecarUser}:sidecar-secret@`),
    env: { OUTRIGGER_SERVICE: "sample", OUTRIGGER_STORE_KEYS: storeKeys },
  });
  let stopped = false;
  t.after(() => (stopped ? undefined : sidecar.stop()));
  const ask = (method: string): Promise<Response> =>
    fetch(`${sidecar.url}/x`, { method, headers: { "x-api-key": "a-key" } });
  await eventually("the policy is in force", async () => (await ask("GET")).status === 200);
  assert.equal((await ask("GET")).headers.get("x-cache"), "HIT");
  // An unsafe method purges what is cached, for the fleet.
  assert.equal((await ask("POST")).status, 200);
  await as("watcher", (client) =>
    eventually("log, heartbeat, use of the key and purge are written", async () => {
      const keys = await client.keys("*");
      return ["logs:", "fleet:", "fleet:seen", "direct", "live:", "keyuse:", "rl:", "cache:"].every((part) =>
        keys.some((key) => key.startsWith(`outrigger:${part}`)),
      );
    }),
  );
  await as("operator", (client) =>
    client.set("outrigger:policy", JSON.stringify({ apiVersion: "outrigger/v1", plugins: ["logging"] })),
  );
  await eventually("a change is heard of", async () => (await fetch(`${sidecar.url}/x`)).status === 200);
  await sidecar.stop();
  stopped = true;
  assert.deepEqual(await refusals(), []);
});

test("sidecars that may write no policy carry a canary through, and an operator's next look writes it down", async (t) => {
  const marked = (mark: string) => ({
    apiVersion: "outrigger/v1",
    plugins: ["transform"],
    pluginConfig: { transform: { addResponseHeaders: { "x-mark": mark } } },
  });
  const file = join(folder, "candidate.json");
  writeFileSync(file, JSON.stringify(marked("good")));
  const env = { REDIS_URL: redis.url.replace("//", "//operator:operator-secret@"), OUTRIGGER_AUTHOR: "ada" };
  await as("operator", (client) => client.set("outrigger:policy", JSON.stringify(marked("base"))));
  const sidecar = await startSidecar({
    upstream: (_request, response) => response.end("hello"),
    redisUrl: redis.url.replace("//", `//${sidecarUser}:sidecar-secret@`),
    env: { OUTRIGGER_SERVICE: "sample" },
  });
  t.after(() => sidecar.stop());
  const has = async (mark: string) => (await fetch(sidecar.url)).headers.get("x-mark") === mark;
  await eventually("the policy is in force", () => has("base"));
  const quick = ["--every", "50ms", "--for", "2s", "--min-requests", "1", "--guard", "errors<1%"];
  const begun = await outrigger(["policy", "apply", file, "--canary", "100%", ...quick], env);
  assert.equal(begun.code, 0, begun.stderr);
  const state = () => as("watcher", (client) => client.hget("outrigger:canary-state", "state"));
  await eventually("it is promoted", async () => (await has("good")) && (await state()) === "promoted");
  const held = () => as("watcher", (client) => client.get("outrigger:policy"));
  assert.equal(await held(), JSON.stringify(marked("base")));
  // It is said to all that it is over.
  await as(sidecarUser, (client) => client.publish("outrigger:canary", ""));
  assert.equal((await outrigger(["fleet"], env)).code, 0);
  assert.equal(await held(), JSON.stringify(marked("good")));
  assert.ok(await has("good"));
});

test("the file holds what the command prints", () => {
  const file = readFileSync(join(root, "deploy/redis-acl.conf"), "utf8").split("\n");
  assert.ok(file.includes(aclLine("sample", "outrigger:")));
});

test("whoever is of one service reaches nothing of another", async () => {
  const keysOf = (service: string): string[] => [
    `rl:${service}:{h}:limit:d:v`,
    `cache:${service}:e:{h}`,
    `cache:${service}:purges`,
    `fleet:${service}:one`,
    `live:${service}`,
    `logs:${service}`,
    `jwks:${service}:d`,
    `jwks-lease:${service}:d`,
  ];
  await as("sidecar-orders", async (client) => {
    for (const key of keysOf("orders")) {
      assert.equal(await client.set(`outrigger:${key}`, "1"), "OK", key);
      await client.unlink(`outrigger:${key}`);
    }
    const others = [...keysOf("users"), "policy:users", "rl:@fleet:{h}:limit:d:v", "keyuse:k1"];
    for (const key of others.map((one) => `outrigger:${one}`)) {
      const set = "return redis.call('SET', KEYS[1], '1')";
      for (const [name, ...args] of [
        ["GET", key],
        ["SET", key, "1"],
        ["UNLINK", key],
        ["XADD", key, "*", "a", "b"],
        ["EVAL", set, "1", key],
        ["EVAL", set.replace("KEYS[1]", `'${key}'`), "0"],
      ] as const)
        await assert.rejects(client.call(name, args), /NOPERM|permission|can.t access/i, `${name} ${key}`);
    }
    for (const kind of ["session", "session-index", "session-ended"]) {
      const key = `outrigger:${kind}:s`;
      assert.equal(await client.set(key, "1"), "OK", "all with a login share sessions");
      assert.deepEqual([await client.get(key), await client.unlink(key)], ["1", 1]);
    }
  });
  await as(sidecarUser, async (client) => {
    for (const kind of ["session", "session-index", "session-ended"])
      await assert.rejects(client.set(`outrigger:${kind}:s`, "1"), /NOPERM|permission/i);
  });
});

test("a sidecar can change neither policies nor keys nor kill switches, and sees no other data", async () => {
  await as(sidecarUser, async (client) => {
    for (const command of [
      ["SET", "outrigger:policy", "{}"],
      ["DEL", "outrigger:policy:users"],
      ["SET", "outrigger:apikey:0", "{}"],
      ["SET", "outrigger:ip-list:office", "0.0.0.0/0"],
      ["HSET", "outrigger:ip-list:home", "0.0.0.0/0", ""],
      ["SET", "outrigger:plugin:geo@1.2.0", "x"],
      ["UNLINK", "outrigger:plugin:geo@1.2.0"],
      ["GET", "outrigger:plugin-signature:geo@1.2.0"],
      ["XADD", "outrigger:history", "*", "a", "b"],
      ["GET", "outrigger:history"],
      ["SET", "outrigger:applied", "{}"],
      ["SET", "outrigger:epoch", "1"],
      ["HDEL", "outrigger:direct", "policy/0"],
      ["HSET", "outrigger:direct", "policy/0", "{}"],
      ["HGETALL", "outrigger:direct"],
      ["HSET", "outrigger:disabled", "auth * *", "{}"],
      ["EVAL", "return redis.call('HDEL', KEYS[1], 'a')", "1", "outrigger:disabled"],
      ["PUBLISH", "outrigger:disabled", "x"],
      ["SET", "outrigger:policy-keys", "x"],
      ["SET", "outrigger:canary", "{}"],
      ["PUBLISH", "outrigger:canary-state", "x"],
      ["UNLINK", "outrigger:canary-state"],
      ["UNLINK", "outrigger:shadow:7"],
      ["HGETALL", "outrigger:shadow:7"],
      ["LPUSH", "outrigger:canary-history", "{}"],
      ["ZREM", "outrigger:fleet:seen", "users"],
      ["UNLINK", "outrigger:fleet:seen"],
      ["GET", "somebody:else"],
      ["EVAL", "return redis.call('SET', KEYS[1], '{}')", "1", "outrigger:policy"],
      ["KEYS", "*"],
      ["SCAN", "0"],
      ["FLUSHALL"],
      ["CONFIG", "GET", "*"],
      ["ACL", "LIST"],
      ["SUBSCRIBE", "somebody"],
      ["MONITOR"],
    ] as const) {
      const [name, ...args] = command;
      await assert.rejects(client.call(name, args), /NOPERM|permission/i, command.join(" "));
    }
  });
});

test("a sidecar reads the packages that an operator publishes", async () => {
  await as("operator", async (client) => {
    assert.equal(await client.set("outrigger:plugin:geo@1.2.0", "bytes", "NX"), "OK");
    const [, keys] = await client.scan("0", "MATCH", "outrigger:plugin:*", "COUNT", 500);
    assert.deepEqual(keys, ["outrigger:plugin:geo@1.2.0"]);
  });
  await as(sidecarUser, async (client) => {
    assert.equal(await client.getrange("outrigger:plugin:geo@1.2.0", 0, 16), "bytes");
  });
  await as("operator", (client) => client.unlink("outrigger:plugin:geo@1.2.0"));
});

test("an operator works below the prefix only", async () => {
  await as("operator", async (client) => {
    await client.xadd("outrigger:history", "*", "author", "me");
    assert.deepEqual(await client.scan("0", "MATCH", "outrigger:none*"), [
      await client.scan("0").then(([at]) => at),
      [],
    ]);
    await assert.rejects(client.set("somebody:else", "1"), /NOPERM|permission/i);
    await assert.rejects(client.call("FLUSHALL"), /NOPERM|permission/i);
    await assert.rejects(client.call("CONFIG", ["GET", "*"]), /NOPERM|permission/i);
  });
});

test("an operator lists and ends sessions", async () => {
  const times = { startedAt: new Date(), expiresAt: new Date(Date.now() + 60_000) };
  const facts = { issuer: "https://id.example", clientId: "c", service: "s", at: "digest" };
  const entry = JSON.stringify({ id: "s1", userId: "ada", ...facts, ...times });
  await as("operator", (client) => client.set("outrigger:session-index:s1", entry));
  const env = { REDIS_URL: redis.url.replace("//", "//operator:operator-secret@") };
  assert.match((await outrigger(["sessions", "list"], env)).stdout, /^s1 +ada /m);
  const { code, stderr } = await outrigger(["sessions", "revoke", "--user", "ada"], env);
  assert.deepEqual([code, stderr], [0, ""]);
  assert.equal(await as("operator", (client) => client.exists("outrigger:session-index:s1")), 0);
});

test("nobody comes in without a name", async () => {
  const client = new Redis({
    port: redis.port,
    lazyConnect: true,
    retryStrategy: () => null,
    disableClientInfo: true,
  });
  client.on("error", () => undefined);
  await assert.rejects(
    client.connect().then(() => client.get("outrigger:policy")),
    /NOAUTH|Connection is closed/,
  );
  client.disconnect();
});
