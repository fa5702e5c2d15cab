// `policy apply` as a user of Redis who lacks one right: nothing is written, and what is missing is said.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { outrigger } from "../support/process.ts";
import { type RedisServer, startRedis } from "../support/redis.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-rights-"));
const policy = join(folder, "policy.json");
writeFileSync(policy, '{"apiVersion":"outrigger/v1"}');
let redis: RedisServer;
before(async () => {
  redis = await startRedis();
});
after(async () => {
  await redis.close();
  rmSync(folder, { recursive: true });
});
beforeEach(() => redis.cli.flushall());

const all = ["~*", "&*", "+@all"];

/** Applies the policy as a user with these rights. */
async function applyWith(...rights: string[]) {
  await redis.cli.call("ACL", "SETUSER", "narrow", "reset", "on", ">pass", ...rights);
  return outrigger(["policy", "apply", policy], { REDIS_URL: redis.url.replace("//", "//narrow:pass@") });
}

const advice = "use the operator of deploy/redis-acl.conf";

for (const command of [
  "get",
  "set",
  "hget",
  "evalsha",
  "time",
  "xadd",
  "xtrim",
  "xlen",
  "xrange",
  "xrevrange",
])
  test(`without ${command} nothing is written, and the operator's rights are named`, async () => {
    const { code, stdout, stderr } = await applyWith(...all, `-${command}`);
    assert.deepEqual([code, stdout], [1, ""]);
    const lacks = ["set", "xadd", "xtrim", "xlen", "xrange", "evalsha"].includes(command)
      ? `this user lacks \\+${command}`
      : "this user lacks (a command that a script runs|\\+[a-z]+)";
    assert.match(stderr, new RegExp(`^REDIS_URL: Redis answers NOPERM: ${lacks}: ${advice}$`, "m"));
    assert.deepEqual(await redis.cli.keys("*"), []);
  });

test("without the right to the keys nothing is written, and that is said", async () => {
  const { code, stderr } = await applyWith("~outrigger:policy", "%R~outrigger:*", "&*", "+@all");
  assert.equal(code, 1);
  assert.match(stderr, new RegExp(`NOPERM: this user has not the right to one of its keys: ${advice}$`, "m"));
  assert.deepEqual(await redis.cli.keys("*"), []);
});
