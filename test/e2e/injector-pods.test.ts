// `outrigger injector pods`: pods without a sidecar, as the API server lists them, and in `outrigger fleet`.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, it } from "node:test";
import { listPods } from "../../src/cli/injector-pods.ts";
import { ApiServer } from "../support/api-server.ts";
import { root } from "../support/dockerfile.ts";
import { outrigger } from "../support/process.ts";
import { type RedisServer, startRedis } from "../support/redis.ts";

const spaces = "/api/v1/namespaces";
const podsOf = (namespace: string): string => `${spaces}/${namespace}/pods`;
const api = new ApiServer([spaces, ...["shop", "lab", "kube-system", "other"].map(podsOf)]);
let redis: RedisServer;
/** The user that the guide shows. */
let reporter = "";

before(async () => {
  redis = await startRedis();
  await api.listen();
  for (const [name, choice] of [
    ["shop", "enabled"],
    ["lab", "best-effort"],
    ["kube-system", "enabled"],
    ["other", "no"],
  ] as const)
    api.put(spaces, { metadata: { name, labels: { "outrigger.dev/inject": choice } } });
  const pod = (namespace: string, name: string, annotations: Record<string, string> = {}): void =>
    api.put(podsOf(namespace), { metadata: { name, annotations } });
  pod("shop", "orders-1", { "outrigger.dev/injected": "0.1.0" });
  pod("shop", "old-1");
  pod("shop", "plain", { "outrigger.dev/inject": "false", "outrigger.dev/injected": "0.1.0" });
  pod("shop", "by-kustomize", { "outrigger.dev/inject": "false", "outrigger.dev/injected": "by hand" });
  pod("lab", "agent", { "outrigger.dev/not-injected": "the pod is on its node's network" });
  pod("kube-system", "dns");
  pod("other", "free");
  const guide = readFileSync(join(root, "deploy/guides/kubernetes.md"), "utf8");
  const [, line = ""] = /^user (injector .*)$/m.exec(guide) ?? [];
  await redis.cli.call("ACL", "SETUSER", ...line.replace("INJECTOR_PASSWORD", "secret").split(" "));
  reporter = redis.url.replace("redis://", "redis://injector:secret@");
});
after(async () => {
  await api.close();
  await redis.close();
});

async function run(more: Record<string, string> = {}, json = false) {
  let [stdout, stderr] = ["", ""];
  const terminal = {
    env: { ...api.env, ...more },
    out: (text: string) => void (stdout += text),
    err: (text: string) => void (stderr += text),
  };
  const options = { namespace: "outrigger-system", ...(json ? { json: true as const } : {}) };
  return { code: await listPods(terminal, options, api.serviceAccount), stdout, stderr };
}

const expected = [
  {
    namespace: "shop",
    pod: "old-1",
    why: "made before its namespace asked for sidecars, or while the injector could not be reached: restart it",
  },
  { namespace: "shop", pod: "plain", why: 'outrigger.dev/inject is "false"' },
  { namespace: "lab", pod: "agent", why: "the pod is on its node's network" },
];

it("lists those that run without, of namespaces that ask for sidecars", async () => {
  const { code, stdout } = await run({}, true);
  assert.deepEqual([code, JSON.parse(stdout)], [0, { pods: expected }]);
  const running = "fieldSelector=status.phase!%3DSucceeded%2Cstatus.phase!%3DFailed";
  assert.ok(api.asked.some((what) => what.startsWith(`GET ${podsOf("shop")}?${running}&limit=500`)));
  assert.match((await run()).stdout, /^NAMESPACE +POD +WHY\nshop +old-1 +made before/);
});

it("shows them in the fleet, by a Redis user that may do nothing else", async () => {
  assert.equal((await run({ REDIS_URL: reporter, OUTRIGGER_REGION: "eu" })).code, 0);
  const { stdout } = await outrigger(["fleet"], { REDIS_URL: redis.url });
  assert.match(
    stdout,
    /\n3 pods without sidecar in eu, \S+ ago:\nNAMESPACE +POD +WHY\nshop +old-1 +made before/,
  );
  const json = await outrigger(["fleet", "--json"], { REDIS_URL: redis.url });
  const { unprotected } = JSON.parse(json.stdout) as { unprotected: { pods: object[]; total: number }[] };
  assert.deepEqual([unprotected[0]?.pods, unprotected[0]?.total], [expected, 3]);
  assert.doesNotMatch(
    (await outrigger(["fleet", "--service", "orders"], { REDIS_URL: redis.url })).stdout,
    /pods/,
  );
});

it("shows nothing of a report that is old, or that is none", async () => {
  await redis.cli.call(
    "HSET",
    "outrigger:fleet:unprotected",
    "eu",
    `1 ${JSON.stringify({ total: 1, pods: [] })}`,
  );
  await redis.cli.call("HSET", "outrigger:fleet:unprotected", "us", `${Date.now()} {"total":"x"}`);
  const { code, stdout } = await outrigger(["fleet"], { REDIS_URL: redis.url });
  assert.equal(code, 0);
  assert.doesNotMatch(stdout, /pods? without/);
});

it("says in one sentence what keeps it from looking", async () => {
  api.refuses = { status: 403, message: "namespaces is forbidden" };
  const { code, stderr } = await run();
  api.refuses = undefined;
  assert.equal(code, 1);
  assert.match(
    stderr,
    /namespaces is forbidden: give the service account the ClusterRole of deploy\/kubernetes\/injector\/pods\.yaml\n$/,
  );
});
