// `policy apply --canary --wait`: its exit code and its words, whatever becomes of the canary meanwhile. No sidecar
// lives here: each test writes what sidecars and other operators would write.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { mainFile, outrigger, type Started, startNode } from "../support/process.ts";
import { eventually, type RedisServer, startRedis } from "../support/redis.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-canary-wait-"));
const document = (mark: string) =>
  JSON.stringify({
    apiVersion: "outrigger/v1",
    pluginConfig: { transform: { addResponseHeaders: { "x-mark": mark } } },
  });
const file = (mark: string): string => {
  const path = join(folder, `${mark}.json`);
  writeFileSync(path, document(mark));
  return path;
};
let redis: RedisServer;
before(async () => {
  redis = await startRedis({ args: ["--appendonly", "yes", "--appendfsync", "always"] });
});
after(async () => {
  await redis.close();
  rmSync(folder, { recursive: true });
});
beforeEach(async () => {
  await redis.cli.flushall();
  await redis.cli.zadd("outrigger:fleet:seen", Date.now(), "orders");
  await redis.cli.zadd("outrigger:live:orders", Date.now(), "o1");
  await redis.cli.set("outrigger:fleet:orders:o1", JSON.stringify({ version: "0.0.1" }));
  await ok("policy", "apply", file("base"));
});

const env = () => ({ REDIS_URL: redis.url, OUTRIGGER_AUTHOR: "ada" });
async function ok(...args: string[]): Promise<void> {
  const { code, stderr } = await outrigger(args, env());
  assert.equal(code, 0, stderr);
}
/** Begins a canary, and resolves once the command waits. */
async function waiting(...more: string[]): Promise<Started> {
  const args = [file("good"), "--traffic", "10%", "--services", "orders", "--wait=50s", ...more];
  const started = startNode([mainFile, "policy", "apply", ...args], env());
  await eventually("it is begun", async () => (await redis.cli.exists("outrigger:canary")) === 1, 20_000);
  return started;
}
/** What the sidecars' script writes at the end of the last step, and a `SET` in the same moment. */
const passes = (policy: string) =>
  redis.cli
    .multi()
    .hset("outrigger:canary-state", { state: "promoted", why: "it passed", endedAt: Date.now() })
    .set("outrigger:policy", policy)
    .exec();

test("one that became the policy: exit 0", async () => {
  const started = await waiting();
  await passes(document("base"));
  const { code, stdout } = await started.end;
  assert.equal(await redis.cli.get("outrigger:policy"), document("good"));
  assert.match(stdout, /\nthe canary is promoted: it passed\n$/);
  assert.equal(code, 0);
});

test("one that passed while somebody changed the policy is not in force: exit 1, as the history says", async () => {
  const started = await waiting("--json");
  await passes(document("other"));
  const { code, stdout } = await started.end;
  assert.equal(await redis.cli.get("outrigger:policy"), document("other"));
  const { ended } = JSON.parse(stdout) as { ended: { state: string; why: string } };
  assert.deepEqual([ended.state, ended.why], ["withdrawn", "the policy was changed under it"]);
  assert.equal(code, 1);
});

for (const [by, exit, told] of [
  [["promote"], 0, /\nthe canary is promoted: by ada\n$/],
  [["rollback", "1"], 1, /\nthe canary is aborted: by ada: policy rollback of policy\n$/],
] as const)
  test(`one that others end by ${by[0]}, and follow up between two looks: exit ${exit}`, async () => {
    const started = await waiting();
    started.child.kill("SIGSTOP");
    await ok("policy", ...by);
    await ok("policy", "apply", file("later"));
    assert.equal(await redis.cli.exists("outrigger:canary"), 0);
    started.child.kill("SIGCONT");
    const { code, stdout } = await started.end;
    assert.match(stdout, told);
    assert.equal(code, exit);
  });

test("a restart of Redis does not end the wait, a loss of the canary does: exit 1, and nobody can tell", async () => {
  const started = await waiting();
  await redis.restart();
  await redis.cli.flushall();
  const { code, stderr } = await started.end;
  assert.match(stderr, /\nRedis knows nothing of the canary any more: what became of it cannot be told\n$/);
  assert.equal(code, 1);
});

test("Ctrl-C ends the wait and not the canary: exit 130", async () => {
  const started = await waiting();
  await started.said("begun");
  started.child.kill("SIGINT");
  const { code, stderr } = await started.end;
  assert.match(stderr, /\nstopped waiting; the canary goes on without this command\n$/);
  assert.equal(code, 130);
  assert.equal(await redis.cli.hget("outrigger:canary-state", "state"), "running");
});
