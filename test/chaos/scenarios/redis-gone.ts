// Redis dies, stalls, comes back empty, and receives nonsense, while requests continue.
import assert from "node:assert/strict";
import { keyDigest } from "../../../plugins/auth/api-keys/key-format.ts";
import { eventually, freePort, type RedisServer } from "../../support/redis.ts";
import type { Scene } from "../../support/scene.ts";
import type { TestSidecar } from "../../support/sidecar.ts";
import type { Scenario } from "../scenario.ts";

const policyKey = "outrigger:policy";
const marked = (mark: string, more: object = {}): string =>
  JSON.stringify({
    apiVersion: "outrigger/v1",
    plugins: ["logging", "transform"],
    pluginConfig: { transform: { addResponseHeaders: { "x-mark": mark } } },
    ...more,
  });

async function serving(scene: Scene, policy: string): Promise<{ redis: RedisServer; sidecar: TestSidecar }> {
  const redis = await scene.redis();
  await redis.cli.set(policyKey, policy);
  const sidecar = await scene.sidecar({
    upstream: (_request, response) => response.end("served"),
    redisUrl: redis.url,
  });
  await eventually("it is ready", async () => (await fetch(`${sidecar.adminUrl}/readyz`)).status === 200);
  return { redis, sidecar };
}

const markOf = async ({ url }: TestSidecar): Promise<string | null> => {
  const answer = await fetch(`${url}/x`);
  await answer.text();
  assert.equal(answer.status, 200);
  return answer.headers.get("x-mark");
};

/** Milliseconds from a SET to its enforcement. */
async function untilMark(sidecar: TestSidecar, mark: string): Promise<number> {
  const startedMono = performance.now();
  await eventually(`${mark} is in force`, async () => (await markOf(sidecar)) === mark, 20_000);
  return Math.round(performance.now() - startedMono);
}

async function refused(scene: Scene, spoil: (redis: RedisServer) => Promise<unknown>): Promise<string> {
  const { redis, sidecar } = await serving(scene, marked("good"));
  await spoil(redis);
  interface Status {
    readonly lastError?: {
      readonly problems?: readonly { readonly path: string; readonly message: string }[];
    };
  }
  let status: Status = {};
  await eventually("it says what is wrong", async () => {
    status = (await (await fetch(`${sidecar.adminUrl}/policy`)).json()) as Status;
    return status.lastError !== undefined && status.lastError !== null;
  });
  assert.equal(await markOf(sidecar), "good");
  const [problem] = status.lastError?.problems ?? [];
  return `the one in force stays; /policy: ${problem === undefined ? "says so" : `${problem.path}: ${problem.message}`.slice(0, 80)}`;
}

const spoiled: readonly { fault: string; spoil: (redis: RedisServer) => Promise<unknown> }[] = [
  { fault: "is no JSON", spoil: ({ cli }) => cli.set(policyKey, "{") },
  { fault: "is empty", spoil: ({ cli }) => cli.set(policyKey, "") },
  { fault: "is of another version", spoil: ({ cli }) => cli.set(policyKey, '{"apiVersion":"outrigger/v9"}') },
  {
    fault: "names a plugin that nobody knows",
    spoil: ({ cli }) => cli.set(policyKey, marked("bad", { plugins: ["loging"] })),
  },
  {
    fault: "has a field that nobody knows",
    spoil: ({ cli }) => cli.set(policyKey, marked("bad", { pluigns: [] })),
  },
  {
    fault: "has a member twice",
    spoil: ({ cli }) => cli.set(policyKey, marked("bad").replace("{", '{"locked":[],"locked":["auth"],')),
  },
  {
    fault: "is nested 10,000 deep",
    spoil: ({ cli }) =>
      cli.set(policyKey, `{"apiVersion":"outrigger/v1","routes":${"[".repeat(10_000)}${"]".repeat(10_000)}}`),
  },
  {
    fault: "is two megabytes",
    spoil: ({ cli }) => cli.set(policyKey, marked("bad", { locked: ["x".repeat(2 * 1_048_576)] })),
  },
  {
    fault: "sends requests to a host that is not allowed",
    spoil: ({ cli }) =>
      cli.set(policyKey, marked("bad", { routes: [{ path: "/*", upstream: "http://10.0.0.1" }] })),
  },
  {
    fault: "is bytes that are no UTF-8",
    spoil: ({ cli }) => cli.set(policyKey, Buffer.from([0x7b, 0xff, 0xfe, 0x7d])),
  },
  {
    fault: "lies in a key of another type",
    spoil: ({ cli }) => cli.multi().del(policyKey).lpush(policyKey, "x").exec(),
  },
  { fault: "is deleted", spoil: ({ cli }) => cli.del(policyKey) },
];

const faults: readonly Scenario[] = [
  {
    group: "redis",
    fault: "dies under load and comes back",
    promised: "no request fails, and the first SET afterwards is in force",
    async run(scene) {
      const { redis, sidecar } = await serving(scene, marked("one"));
      await redis.kill();
      for (let i = 0; i < 200; i += 1) assert.equal(await markOf(sidecar), "one");
      await redis.restart();
      await redis.cli.set(policyKey, marked("two"));
      return `200 of 200 served meanwhile; the new policy ${await untilMark(sidecar, "two")} ms after the restart`;
    },
  },
  {
    group: "redis",
    fault: "stops answering with its sockets open, and wakes",
    promised: "no request waits for it, and the first SET afterwards is in force",
    async run(scene) {
      const { redis, sidecar } = await serving(scene, marked("one"));
      redis.freeze();
      const startedMono = performance.now();
      for (let i = 0; i < 200; i += 1) assert.equal(await markOf(sidecar), "one");
      const tookMs = Math.round(performance.now() - startedMono);
      redis.thaw();
      await redis.cli.set(policyKey, marked("two"));
      return `200 requests in ${tookMs} ms meanwhile; the new policy after ${await untilMark(sidecar, "two")} ms`;
    },
  },
  {
    group: "redis",
    fault: "loses all its keys (FLUSHALL)",
    promised: "the last good policy stays, and a new one is taken",
    async run(scene) {
      const { redis, sidecar } = await serving(scene, marked("one"));
      await redis.cli.flushall();
      await sidecar.line(({ msg }) => String(msg).includes("policy"));
      assert.equal(await markOf(sidecar), "one");
      await redis.cli.set(policyKey, marked("two"));
      return `the last good one stayed; the new one after ${await untilMark(sidecar, "two")} ms`;
    },
  },
  {
    group: "redis",
    fault: "cuts all connections again and again",
    promised: "no request fails, changes get through",
    async run(scene) {
      const { redis, sidecar } = await serving(scene, marked("0"));
      for (let i = 1; i <= 10; i += 1) {
        await redis.cli.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
        await redis.cli.call("CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes");
        await redis.cli.set(policyKey, marked(String(i)));
        await untilMark(sidecar, String(i));
      }
      return "10 changes in force with all connections cut before each";
    },
  },
  {
    group: "redis",
    fault: "is not there at the start, and no policy was kept",
    promised: "not ready, 503 not_ready for everybody; the first answer of Redis ends that",
    async run(scene) {
      const port = await freePort();
      const sidecar = await scene.sidecar({
        upstream: (_request, response) => response.end("served"),
        redisUrl: `redis://127.0.0.1:${port}`,
      });
      const answer = await fetch(`${sidecar.url}/x`);
      const { code } = (await answer.json()) as { code: string };
      assert.deepEqual([answer.status, code], [503, "not_ready"]);
      assert.equal((await fetch(`${sidecar.adminUrl}/readyz`)).status, 503);
      assert.equal((await fetch(`${sidecar.adminUrl}/livez`)).status, 200);
      return "503 not_ready, unready, alive";
    },
  },
  {
    group: "redis",
    fault: "is gone when an API key is asked for that only it knows",
    promised: "503, never 401; a key in the policy itself goes on",
    async run(scene) {
      const sha256 = keyDigest("local-key");
      const auth = { apiKeys: { keys: [{ sha256, id: "k", userId: "u", scopes: [] }] } };
      const policy = marked("one", { plugins: ["logging", "auth"], pluginConfig: { auth } });
      const { redis, sidecar } = await serving(scene, policy);
      await redis.cli.set(
        `outrigger:apikey:${keyDigest("remote")}`,
        JSON.stringify({ id: "r", userId: "r", scopes: [] }),
      );
      await redis.kill();
      const statusOf = async (key: string): Promise<number> =>
        (await fetch(`${sidecar.url}/x`, { headers: { "x-api-key": key } })).status;
      assert.deepEqual([await statusOf("remote"), await statusOf("local-key")], [503, 200]);
      await redis.restart();
      await redis.cli.set(policyKey, policy);
      await eventually("an unknown key is 401 again", async () => (await statusOf("nobody")) === 401);
      return "503 and 200 while it is gone; 401 for unknown keys again afterwards";
    },
  },
];

export const scenarios: readonly Scenario[] = [
  ...faults.map((scenario) => ({ ...scenario, fault: `Redis ${scenario.fault}` })),
  ...spoiled.map(({ fault, spoil }) => ({
    group: "policy",
    fault: `the policy in Redis ${fault}`,
    promised: "refused whole, told with its place; the one in force stays",
    run: (scene: Scene) => refused(scene, spoil),
  })),
];
