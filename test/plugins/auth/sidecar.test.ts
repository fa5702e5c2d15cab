// Auth in real sidecars: answers on the wire, revocation across a fleet, outages under load, changes of the policy.
import assert from "node:assert/strict";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { keyDigest } from "../../../plugins/auth/api-keys/key-format.ts";
import { eventually, startRedis, type RedisServer } from "../../support/redis.ts";
import { startSidecar, type TestSidecar } from "../../support/sidecar.ts";
import { TokenIssuer } from "./token-issuer.ts";

let redis: RedisServer;
let issuer: TokenIssuer;
const service: http.RequestListener = (request, response) => {
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify(request.headers));
};

before(async () => {
  redis = await startRedis();
  issuer = await TokenIssuer.start();
});
after(async () => {
  issuer.close();
  await redis.close();
});

const agent = new http.Agent({ keepAlive: true, maxSockets: 16 });
interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}
function ask(
  { port }: TestSidecar,
  headers: http.OutgoingHttpHeaders | string[] = {},
  path = "/",
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = http.get({ port, host: "127.0.0.1", path, headers, agent }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        body += chunk;
      });
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
      );
    });
    request.on("error", reject);
  });
}
const record = (id: string): string =>
  JSON.stringify({ id, userId: `user-of-${id}`, plan: "pro", scopes: ["read"] });
const storeKey = (key: string): string => `outrigger:apikey:${keyDigest(key)}`;
const policyOf = (auth: object): Record<string, unknown> => ({
  plugins: ["logging", "auth", "transform"],
  pluginConfig: { auth: { guessing: false, ...auth } },
});

test("a refusal on the wire is a problem document with a challenge, and its reason is in the log alone", async () => {
  const sidecar = await startSidecar({ policy: policyOf({}), upstream: service, redisUrl: redis.url });
  try {
    const answer = await ask(sidecar, {
      "X-Api-Key": `outrigger_${"typo".repeat(12)}1`,
      "X-User-Id": "admin",
    });
    assert.equal(answer.status, 401);
    assert.equal(answer.headers["content-type"], "application/problem+json");
    assert.equal(answer.headers["www-authenticate"], 'ApiKey realm="outrigger"');
    assert.match(String(answer.headers["proxy-status"]), /^outrigger; error=http_request_denied/);
    const problem = JSON.parse(answer.body) as Record<string, unknown>;
    assert.deepEqual(
      [problem["error"], problem["code"], problem["status"]],
      ["Invalid API key", "invalid_api_key", 401],
    );
    assert.doesNotMatch(answer.body, /checksum/);
    const line = await sidecar.line(({ status }) => status === 401);
    assert.match(JSON.stringify(line), /wrong checksum/);
    assert.ok(!JSON.stringify(sidecar.lines).includes("typotypo"));
  } finally {
    await sidecar.stop();
  }
});

test("the service gets who calls and neither the credential nor what the client claims to be", async () => {
  await redis.cli.set(storeKey("key-1"), record("k1"));
  const sidecar = await startSidecar({ policy: policyOf({}), upstream: service, redisUrl: redis.url });
  try {
    const answer = await ask(sidecar, { "X-Api-Key": "key-1", "X-User-Id": "admin", x_user_id: "admin" });
    const seen = JSON.parse(answer.body) as Record<string, string>;
    assert.deepEqual(
      [seen["x-user-id"], seen["x-user-plan"], seen["x-user-scopes"]],
      ["user-of-k1", "pro", "read"],
    );
    assert.deepEqual([seen["x-api-key"], seen["x_user_id"]], [undefined, undefined]);
    const line = await sidecar.line(({ status }) => status === 200);
    assert.equal(line["userId"], "user-of-k1");
    assert.match(await sidecar.metrics(), /outrigger_auth_total\{.*method="api-key",result="allowed".*\} 1/);
  } finally {
    await sidecar.stop();
  }
});

test("bad bytes in credentials are 401, and the next request on the connection is served", async () => {
  await redis.cli.set(storeKey("key-1"), record("k1"));
  const sidecar = await startSidecar({
    policy: policyOf({ jwt: {} }),
    upstream: service,
    redisUrl: redis.url,
  });
  try {
    const token = await issuer.sign();
    const cases: string[][] = [
      ["Authorization", "Bearer"],
      ["Authorization", `Bearer ${"a".repeat(12_000)}`],
      ["Authorization", `Bearer ${token}`, "Authorization", `Bearer ${token}`],
      ["X-Api-Key", ""],
      ["X-Api-Key", "\xfc\xfd"],
      ["X-Api-Key", "key-1", "X-Api-Key", "key-1"],
      ["X-Api-Key", "key-1", "Authorization", `Bearer ${token}`],
    ];
    for (const headers of cases) {
      const answer = await ask(sidecar, ["Host", "api.example", ...headers]);
      assert.ok(
        answer.status === 401 || answer.status === 400,
        `${answer.status} ${String(headers).slice(0, 60)}`,
      );
    }
    assert.equal((await ask(sidecar, { "X-Api-Key": "key-1" })).status, 200);
  } finally {
    await sidecar.stop();
  }
});

test("a revoked key is refused by fifty sidecars within a second", async () => {
  await redis.cli.set(storeKey("key-50"), record("k50"));
  const upstream = http.createServer(service);
  await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
  const { port } = upstream.address() as AddressInfo;
  const start = (i: number): Promise<TestSidecar> =>
    startSidecar({
      policy: policyOf({}),
      upstream: `http://127.0.0.1:${port}`,
      redisUrl: redis.url,
      env: { OUTRIGGER_INSTANCE: `orders-${i}`, LOG_LEVEL: "error" },
    });
  const fleet: TestSidecar[] = [];
  for (let i = 0; i < 50; i += 1) fleet.push(await start(i));
  try {
    const statuses = async (): Promise<number[]> =>
      await Promise.all(fleet.map(async (sidecar) => (await ask(sidecar, { "X-Api-Key": "key-50" })).status));
    await eventually("all know the key", async () => (await statuses()).every((status) => status === 200));
    const began = performance.now();
    await redis.cli.del(storeKey("key-50"));
    let rounds = 0;
    while (!(await statuses()).every((status) => status === 401)) {
      rounds += 1;
      assert.ok(performance.now() - began < 5_000, "longer than a second, by far");
    }
    console.log(
      `revoked at 50 sidecars after ${(performance.now() - began).toFixed(0)} ms, ${rounds} rounds of requests`,
    );
  } finally {
    await Promise.all(fleet.map((sidecar) => sidecar.stop()));
    upstream.closeAllConnections();
    upstream.close();
  }
});

/** Hammers a sidecar until told to stop; tells how often each status came, and what failed otherwise. */
function hammer(
  sidecar: TestSidecar,
  headers: () => http.OutgoingHttpHeaders,
): { stop(): Promise<Map<number, number>>; seen: Map<number, number> } {
  const seen = new Map<number, number>();
  const state = { running: true };
  const one = async (): Promise<void> => {
    while (state.running) {
      const { status } = await ask(sidecar, headers());
      seen.set(status, (seen.get(status) ?? 0) + 1);
    }
  };
  const all = Promise.all(Array.from({ length: 8 }, one));
  return {
    seen,
    async stop() {
      state.running = false;
      await all;
      return seen;
    },
  };
}

test("Redis killed, frozen and back under load: a good key is 200 or 503 and never refused, a bad one never let in", async () => {
  // Kept on disk, so that the key is there again after the restart.
  const own = await startRedis({ args: ["--appendonly", "yes", "--appendfsync", "always"] });
  await own.cli.set(storeKey("good"), record("g"));
  const sidecar = await startSidecar({ policy: policyOf({}), upstream: service, redisUrl: own.url });
  try {
    await eventually("up", async () => (await ask(sidecar, { "X-Api-Key": "good" })).status === 200);
    let guess = 0;
    const good = hammer(sidecar, () => ({ "X-Api-Key": "good" }));
    const bad = hammer(sidecar, () => ({ "X-Api-Key": `guess-${(guess += 1) % 50}` }));
    const sees = (load: typeof good, status: number): Promise<void> => {
      const before = load.seen.get(status) ?? 0;
      return eventually(`${status} again`, () => (load.seen.get(status) ?? 0) > before + 20);
    };
    await sees(bad, 401);
    own.freeze();
    await sees(bad, 503);
    await sees(good, 503);
    own.thaw();
    await sees(good, 200);
    await sees(bad, 401);
    await own.kill();
    await sees(good, 503);
    await sees(bad, 503);
    await own.restart();
    await sees(good, 200);
    await sees(bad, 401);
    assert.deepEqual(new Set((await good.stop()).keys()), new Set([200, 503]));
    assert.deepEqual(new Set((await bad.stop()).keys()), new Set([401, 503]));
    assert.ok(!sidecar.lines.some((line) => JSON.stringify(line).includes("plugin hook failed")));
  } finally {
    await sidecar.stop();
    await own.close();
  }
});

const jwt = (audience: string): object => ({
  jwt: { issuers: [{ issuer: issuer.url, jwksUri: issuer.jwksUri, audience: [audience] }] },
});

test("a policy that asks for another audience refuses a token that was good a moment ago", async () => {
  const sidecar = await startSidecar({ policy: policyOf(jwt("api")), upstream: service });
  try {
    const headers = { Authorization: `Bearer ${await issuer.sign()}` };
    assert.equal((await ask(sidecar, headers)).status, 200);
    sidecar.setPolicy(policyOf(jwt("billing")));
    await eventually("refused", async () => (await ask(sidecar, headers)).status === 401, 5_000);
    sidecar.setPolicy(policyOf(jwt("api")));
    await eventually("taken again", async () => (await ask(sidecar, headers)).status === 200, 5_000);
  } finally {
    await sidecar.stop();
  }
});

test("an encoded or doubled path reaches nothing that a rule guards", async () => {
  const keys = [{ sha256: keyDigest("abc"), id: "k", userId: "u" }];
  const rules = [{ path: "/admin/*", allow: { roles: { any: ["admin"] } } }];
  const policy = policyOf({ apiKeys: { keys }, rules, exclude: ["/public/*"] });
  const sidecar = await startSidecar({ policy, upstream: service });
  try {
    const key = { "X-Api-Key": "abc" };
    assert.equal((await ask(sidecar, key, "/other")).status, 200);
    for (const path of [
      "/admin",
      "/admin/x",
      "/%61dmin/x",
      "/public/../admin/x",
      "/public/%2e%2e/admin/x",
      "/./admin/x",
    ]) {
      const { status } = await ask(sidecar, key, path);
      assert.ok(status === 403 || status === 400, `${status} ${path}`);
    }
    for (const path of ["/public/../other", "/other?x=/public/", "/publicity", "/%70ublic%2f../other"]) {
      const { status } = await ask(sidecar, {}, path);
      assert.ok(status === 401 || status === 400, `${status} ${path}`);
    }
  } finally {
    await sidecar.stop();
  }
});
