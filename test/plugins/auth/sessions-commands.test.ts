// `outrigger sessions` against a real Redis; test/security/attacks/stored-session.ts tests that sidecars obey.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import { userMark } from "../../../plugins/auth/sessions/session-marks.ts";
import { outrigger } from "../../support/process.ts";
import { startRedis, type RedisServer } from "../../support/redis.ts";

let redis: RedisServer;
before(async () => {
  redis = await startRedis();
});
after(() => redis.close());
beforeEach(() => redis.cli.flushall());

const sessions = (...args: string[]): ReturnType<typeof outrigger> =>
  outrigger(["sessions", ...args], { REDIS_URL: redis.url });

async function begin(id: string, userId: string, startedMs = Date.now()): Promise<void> {
  const times = { startedAt: new Date(startedMs), expiresAt: new Date(startedMs + 3_600_000) };
  const facts = { issuer: "https://id.example", clientId: "shop", service: "orders", at: `digest-of-${id}` };
  await redis.cli.set(`outrigger:session-index:${id}`, JSON.stringify({ id, userId, ...facts, ...times }));
  await redis.cli.set(`outrigger:session:digest-of-${id}`, "sealed");
}
const keys = async (): Promise<string[]> => (await redis.cli.keys("*")).sort();

describe("outrigger sessions", () => {
  it("lists, oldest first, a user's alone, without what could be used, and passes over junk", async () => {
    await begin("s2", "ada");
    await begin("s1", "ada", Date.now() - 60_000);
    await begin("s3", "grace\u001b[2J");
    await redis.cli.set("outrigger:session-index:junk", "{");
    await redis.cli.set("outrigger:session-index:odd", '{"id":7}');
    const all = await sessions("list");
    assert.equal(all.code, 0, all.stderr);
    const lines = all.stdout.trim().split("\n");
    assert.match(lines[0] ?? "", /^ID +USER +SERVICE +BEGAN +ENDS +ISSUER$/);
    assert.deepEqual(
      lines.slice(1).map((line) => line.split(" ")[0]),
      ["s1", "s2", "s3"],
    );
    assert.equal(all.stdout.includes("\u001b"), false);
    const { stdout } = await sessions("list", "--user", "ada", "--json");
    const entries = JSON.parse(stdout) as { id: string; userId: string }[];
    assert.deepEqual(
      entries.map(({ id }) => id),
      ["s1", "s2"],
    );
    assert.doesNotMatch(stdout, /digest-of/);
  });

  it("skips what another wrote under a session's name, says so, and ends the rest", async () => {
    await begin("s1", "ada");
    await redis.cli.lpush("outrigger:session-index:li\u001bst", "1");
    const copied = await redis.cli.get("outrigger:session-index:s1");
    await redis.cli.set("outrigger:session-index:s0", copied ?? "");
    const listed = await sessions("list", "--json");
    assert.equal(listed.code, 0, listed.stderr);
    assert.match(listed.stderr, /^2 keys hold no session and were skipped: .*"session-index:li\\u001bst"/);
    assert.equal((JSON.parse(listed.stdout) as unknown[]).length, 1);
    const revoked = await sessions("revoke", "--user", "ada");
    assert.equal(revoked.code, 0, revoked.stderr);
    assert.match(revoked.stdout, /1 in Redis/);
    assert.equal(await redis.cli.exists("outrigger:session:digest-of-s1"), 0);
    assert.equal((await sessions("revoke", "li\u001bst")).code, 1);
  });

  it("ends one session and leaves the others", async () => {
    await begin("s1", "ada");
    await begin("s2", "ada");
    const { code, stdout } = await sessions("revoke", "s1");
    assert.deepEqual([code, stdout], [0, "session s1 of ada is ended\n"]);
    assert.deepEqual(await keys(), [
      "outrigger:session-ended:s1",
      "outrigger:session-index:s2",
      "outrigger:session:digest-of-s2",
    ]);
    assert.ok((await redis.cli.pttl("outrigger:session-ended:s1")) > 3_590_000);
    const again = await sessions("revoke", "s1", "--json");
    assert.deepEqual([again.code, again.stdout], [1, ""]);
    assert.match(again.stderr, /there is no session s1 in Redis; those in cookies are ended by --user/);
  });

  it("ends all sessions of a user by the server's clock, known or not", async () => {
    await begin("s1", "ada");
    await begin("s2", "grace");
    const { code, stdout } = await sessions("revoke", "--user", "ada", "--json");
    assert.deepEqual([code, JSON.parse(stdout)], [0, { user: "ada", revoked: ["s1"] }]);
    const mark = `outrigger:session-ended:${userMark("ada")}`;
    assert.ok(Math.abs(Number(await redis.cli.get(mark)) - Date.now()) < 60_000);
    assert.ok((await redis.cli.pttl(mark)) > 86_400_000);
    assert.ok((await keys()).includes("outrigger:session:digest-of-s2"));
    assert.equal((await sessions("revoke", "--user", "nobody")).code, 0, "there may be cookies");
  });

  it("exits 2 for wrong usage and without Redis, 1 when it is out of reach", async () => {
    assert.equal((await sessions("revoke")).code, 2);
    assert.equal((await sessions("revoke", "s1", "--user", "ada")).code, 2);
    assert.equal((await sessions("list", "ada")).code, 2);
    assert.equal((await outrigger(["sessions", "list"], {})).code, 2);
    const away = await outrigger(["sessions", "list"], { REDIS_URL: "redis://127.0.0.1:1" });
    assert.deepEqual([away.code, away.stderr], [1, "REDIS_URL: 127.0.0.1:1 cannot be used: ECONNREFUSED\n"]);
  });
});
