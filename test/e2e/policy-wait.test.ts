// `policy apply --wait` with a fleet that does not accept the policy: what it reports about which sidecars, and when it
// ends.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { outrigger } from "../support/process.ts";
import { eventually, type RedisServer, startRedis } from "../support/redis.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-wait-"));
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

/** A sidecar of the service `orders`, which lives by its heartbeat and never has another policy. */
async function beats(instance: string, more: object = {}): Promise<void> {
  await redis.cli.zadd("outrigger:fleet:seen", Date.now(), "orders");
  await redis.cli.zadd("outrigger:live:orders", Date.now(), instance);
  await redis.cli.set(`outrigger:fleet:orders:${instance}`, JSON.stringify({ version: "0.0.1", ...more }));
}
const apply = (...wait: string[]) =>
  outrigger(["policy", "apply", policy, ...wait], { REDIS_URL: redis.url });

test("who does not have it by the end of the time is named, who refuses it with why, and it is in the history all the same: exit 1", async () => {
  await beats("o1");
  const lastError = { count: 2, first: "one", problems: ["one", "two"] };
  await beats("o2", { lastError, refusedAt: Date.now() + 60_000 });
  const started = performance.now();
  const { code, stdout, stderr } = await apply("--wait", "1s");
  assert.equal(code, 1);
  assert.match(
    stderr,
    /\norders\/o2 refuses it: one\norders\/o2 refuses it: two\norders\/o1 does not have it yet\n$/,
  );
  assert.match(stdout, /is now at revision 1.*\nin force in 0 of 2 sidecars\n$/);
  // What is waited by default is longer.
  assert.ok(performance.now() - started < 20_000);
  assert.notEqual(await redis.cli.get("outrigger:policy"), null);
});

test("a name of several sidecars never counts as having it, whichever of them does, and is named: exit 1, at once", async () => {
  const { stdout } = await apply("--json");
  const { digest } = JSON.parse(stdout) as { digest: string };
  const has = { documents: { shared: digest, layer: null }, boot: "host-a/12/0123456789abcdef" };
  await beats("o1", has);
  await beats("o2", { ...has, namesake: "host-b/7/0123456789abcdef" });
  const started = performance.now();
  const waited = await apply("--wait", "60s");
  assert.equal(waited.code, 1);
  assert.match(waited.stderr, /^orders\/o2 is the name of several live sidecars, so nobody can tell /m);
  assert.match(waited.stdout, /\nin force in 1 of 2 sidecars/);
  assert.ok(performance.now() - started < 30_000);
  const fleet = await outrigger(["fleet"], { REDIS_URL: redis.url });
  assert.match(fleet.stdout, /o2 .*two sidecars have this name: process 12 on host-a, process 7 on host-b/);
  assert.doesNotMatch(fleet.stdout, /o1 .*two sidecars/);
});

test("who fell silent is named, since nobody can tell what it serves", async () => {
  await beats("o1");
  await redis.cli.del("outrigger:fleet:orders:o1");
  const { code, stderr } = await apply("--wait", "1s");
  assert.equal(code, 1);
  assert.match(stderr, /^orders\/o1 fell silent meanwhile: what it serves by nobody can tell$/m);
});

test("who ends meanwhile is named, and waited for no more", async () => {
  await beats("o1");
  const looks = async (): Promise<number> =>
    Number(/cmdstat_strlen:calls=(\d+)/.exec(await redis.cli.info("commandstats"))?.[1] ?? 0);
  const before = await looks();
  const waiting = apply("--wait", "60s");
  await eventually("it has looked several times", async () => (await looks()) > before + 3);
  await redis.cli.zrem("outrigger:live:orders", "o1");
  await redis.cli.del("outrigger:fleet:orders:o1");
  const { code, stdout } = await waiting;
  assert.equal(code, 0);
  assert.match(stdout, /\nin force in 0 of 1 sidecars\norders\/o1 ended meanwhile\n$/);
});

for (const [what, replace, said] of [
  [
    "another revision",
    async () => {
      const other = join(folder, "other.json");
      writeFileSync(other, '{"apiVersion":"outrigger/v1","plugins":["logging"]}');
      const { code } = await outrigger(["policy", "apply", other], {
        REDIS_URL: redis.url,
        OUTRIGGER_AUTHOR: "eve",
      });
      assert.equal(code, 0);
    },
    /^stopped waiting: revision 2 by eve took the place of revision 1$/m,
  ],
  [
    "a plain SET",
    () => redis.cli.set("outrigger:policy", "{}"),
    /^stopped waiting: a SET past the commands took the place of revision 1$/m,
  ],
] as const)
  test(`${what} in its place ends the wait, and is named: exit 1`, async () => {
    await beats("o1");
    const started = performance.now();
    const waiting = apply("--wait", "60s");
    await eventually("it is written", async () => (await redis.cli.exists("outrigger:policy")) === 1);
    await replace();
    const { code, stderr } = await waiting;
    assert.equal(code, 1);
    assert.match(stderr, said);
    assert.match(stderr, /^orders\/o1 does not have it yet$/m);
    assert.ok(performance.now() - started < 30_000);
  });

test("a list of sidecars that is none is named: exit 1", async () => {
  await beats("o1");
  await redis.cli.set("outrigger:live:orders", "somebody's");
  const { code, stderr } = await apply("--wait", "1s");
  assert.equal(code, 1);
  assert.match(
    stderr,
    /^live:orders in Redis is not what sidecars write there: who else lives nobody can tell$/m,
  );
});

test("a service that no sidecar is of is warned of by apply, its dry run and diff, and by history without one; who waits is told that nobody confirmed it: exit 1", async () => {
  await beats("o1");
  await apply();
  const env = { REDIS_URL: redis.url };
  const run = (...args: string[]) => outrigger(["policy", ...args, "--service", "ordres"], env);
  const heard =
    "warning: no sidecar of ordres has been heard of in the last two hours: did you mean orders?; ";
  for (const [args, then] of [
    [["history"], "it has no history"],
    [["diff", policy], "a layer of it counts once there is one"],
    [["apply", policy, "--dry-run"], "a layer of it counts once there is one"],
    [["apply", policy], "it is written, and counts once there is one"],
    [["apply", policy, "--json"], "it is written, and counts once there is one"],
  ] as const) {
    const { code, stderr } = await run(...args);
    assert.equal(code, 0, stderr);
    assert.ok(stderr.split("\n").includes(heard + then), `${args.join(" ")}: ${stderr}`);
  }
  const waited = await run("apply", policy, "--wait");
  assert.equal(waited.code, 1);
  assert.match(waited.stdout, /\nin force in 0 of 0 sidecars\n$/);
  assert.match(waited.stderr, /^no sidecar of ordres lives, so nobody has confirmed it$/m);
  const asJson = await run("apply", policy, "--wait", "--json");
  const { receipts } = JSON.parse(asJson.stdout) as { receipts: { converged: boolean } };
  assert.deepEqual([asJson.code, receipts.converged], [1, false]);
  for (const args of [["apply", policy, "--service", "orders"], ["apply", policy], ["history"]])
    assert.doesNotMatch((await outrigger(["policy", ...args], env)).stderr, /heard of/);
});

test("where no sidecar lives at all, a wait for the shared policy says that nobody confirmed it, and ends well: exit 0", async () => {
  const { code, stdout, stderr } = await apply("--wait");
  assert.equal(code, 0);
  assert.match(stdout, /is now at revision 1.*\nin force in 0 of 0 sidecars\n$/);
  assert.match(stderr, /^no sidecar lives, so nobody has confirmed it$/m);
});

test("where Redis does not tell who lives, that is said, and the change is made: exit 1", async () => {
  await beats("o1");
  await redis.cli.call("ACL", "SETUSER", "narrow", "on", ">pass", "~*", "&*", "+@all", "-zrevrange");
  const url = redis.url.replace("//", "//narrow:pass@");
  const { code, stderr } = await outrigger(["policy", "apply", policy, "--wait", "8s"], { REDIS_URL: url });
  assert.equal(code, 1);
  assert.match(stderr, /^policy holds revision 1; who has it in force cannot be told: Redis: .*NOPERM/m);
  assert.notEqual(await redis.cli.get("outrigger:policy"), null);
});

test("that Redis answers no more is said, since what it said last may not hold any more: exit 1", async () => {
  await beats("o1");
  const looks = async (): Promise<number> =>
    Number(/cmdstat_strlen:calls=(\d+)/.exec(await redis.cli.info("commandstats"))?.[1] ?? 0);
  const before = await looks();
  const waiting = apply("--wait", "4s");
  await eventually("it has looked several times", async () => (await looks()) > before + 3);
  redis.freeze();
  const { code, stdout, stderr } = await waiting.finally(() => redis.thaw());
  assert.equal(code, 1);
  const said =
    /^Redis does not answer any more, so who has it in force by now cannot be told \(\S+: .+\); when it last did:$/m;
  assert.match(stderr, said);
  assert.match(stderr, /^orders\/o1 does not have it yet$/m);
  assert.equal(stdout.split("\n")[1], "in force in 0 of 1 sidecars");
});

test("without --wait nobody is asked, and that is said; a time that is none is refused before anything is written", async () => {
  await beats("o1");
  const wrong = await apply("--wait=soon");
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, /^--wait takes a time such as 30s[^\n]*\n$/);
  const apart = await apply("--wait", "soon");
  assert.equal(apart.code, 2);
  assert.match(apart.stderr, /too many arguments[^\n]*\n--wait takes a time such as 30s[^\n]*\n$/);
  const revision = await apply("--base=last");
  assert.deepEqual(
    [revision.code, revision.stderr],
    [2, "--base takes a revision, a number of policy history\n"],
  );
  assert.equal(await redis.cli.get("outrigger:policy"), null);
  const { code, stdout } = await apply();
  assert.equal(code, 0);
  assert.match(stdout, /\nno sidecar was asked whether it has that in force: .*--wait 30s waits for all\n$/);
});
