// `outrigger keys`: an operator's work with API keys, against a real Redis and a real sidecar.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import { eventually, startRedis, type RedisServer } from "../../support/redis.ts";
import { outrigger } from "../../support/process.ts";
import { startSidecar, type TestSidecar } from "../../support/sidecar.ts";
import { durationText, parseDuration } from "../../../src/language/duration.ts";

let redis: RedisServer;
let sidecar: TestSidecar;
const pepper = "pepper-0123456789abcdef";

before(async () => {
  redis = await startRedis();
  sidecar = await startSidecar({
    policy: { plugins: ["auth", "transform"], pluginConfig: { auth: { guessing: false } } },
    upstream: (request, response) => response.end(String(request.headers["x-user-id"])),
    redisUrl: redis.url,
    env: { OUTRIGGER_SERVICE: "orders", OUTRIGGER_API_KEY_PEPPER: pepper },
  });
});
after(async () => {
  await sidecar.stop();
  await redis.close();
});
beforeEach(async () => {
  await redis.cli.flushall();
});

const keys = (...args: string[]): ReturnType<typeof outrigger> =>
  outrigger(["keys", ...args], { REDIS_URL: redis.url });
const status = async (key: string): Promise<number> =>
  (await fetch(sidecar.url, { headers: { "X-Api-Key": key } })).status;
interface Made {
  readonly id: string;
  readonly key?: string;
  readonly userId: string;
  readonly plan?: string;
  readonly scopes: readonly string[];
  readonly expiresAt?: string;
  readonly state?: string;
  readonly lastUse?: Record<string, string>;
  readonly old?: Made;
  readonly replacedBy?: string;
}
async function made(...args: string[]): Promise<Made & { key: string }> {
  const { code, stdout, stderr } = await keys(...args, "--json");
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as Made & { key: string };
}
const list = async (): Promise<Made[]> => JSON.parse((await keys("list", "--json")).stdout) as Made[];

describe("outrigger keys", () => {
  it("creates a key that works at once, and prints it alone on stdout", async () => {
    const { code, stdout, stderr } = await keys(
      "create",
      "--user",
      "ada",
      "--plan",
      "pro",
      "--scopes",
      "a, b",
      "--expires",
      "90d",
    );
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^outrigger_[0-9A-Za-z]{49}\n$/);
    assert.match(stderr, /^id k_[\w-]{12}, user ada, expires \d{4}-/);
    await eventually("taken", async () => (await status(stdout.trim())) === 200);
    const [listed] = await list();
    assert.deepEqual([listed?.userId, listed?.plan, listed?.scopes], ["ada", "pro", ["a", "b"]]);
    assert.equal(listed?.state, "ends in 89d");
    const stored = await redis.cli.keys("*");
    assert.ok(!JSON.stringify([stored, await redis.cli.get(stored[0] ?? "")]).includes(stdout.trim()));
  });

  it("stores under the pepper's HMAC where one is set, and no sidecar without it takes the key", async () => {
    const env = { REDIS_URL: redis.url, OUTRIGGER_API_KEY_PEPPER: pepper };
    const { stdout } = await outrigger(["keys", "create", "--user", "ada"], env);
    await eventually("taken", async () => (await status(stdout.trim())) === 200);
    const bare = await startSidecar({
      policy: { plugins: ["auth"] },
      upstream: (_, response) => response.end(),
      redisUrl: redis.url,
    });
    const answer = await fetch(bare.url, { headers: { "X-Api-Key": stdout.trim() } });
    assert.equal(answer.status, 401);
    await bare.stop();
  });

  it("rotates: both keys work during the overlap, the old one says when it ends and who still uses it", async () => {
    const first = await made("create", "--user", "ada", "--scopes", "a");
    await eventually("taken", async () => (await status(first.key)) === 200);
    const second = await made("rotate", first.id, "--overlap", "1h");
    assert.notEqual(second.key, first.key);
    assert.deepEqual([second.userId, second.scopes], ["ada", ["a"]]);
    await eventually(
      "both",
      async () => (await status(second.key)) === 200 && (await status(first.key)) === 200,
    );
    const seen = async (): Promise<Made[]> =>
      (await list()).filter(({ lastUse }) => lastUse?.["orders"] !== undefined);
    await eventually("both uses are recorded", async () => (await seen()).length === 2);
    const text = (await keys("list")).stdout;
    assert.match(
      text,
      new RegExp(
        `^${first.id} +ada +- +a +ends in (?:59m|1h), replaced by ${second.id} +orders \\d+s ago$`,
        "m",
      ),
    );
    assert.ok(!text.includes(first.key) && !text.includes(second.key));
  });

  it("rotates once however often it is run, and with no overlap the old key ends now", async () => {
    const first = await made("create", "--user", "ada");
    const runs = await Promise.all([
      keys("rotate", first.id, "--overlap", "0s"),
      keys("rotate", first.id, "--overlap", "0s"),
    ]);
    const again = await keys("rotate", first.id);
    assert.deepEqual(
      [...runs, again].map(({ code }) => code),
      [0, 0, 0],
    );
    assert.match(again.stderr, /was rotated before/);
    assert.equal(again.stdout, "");
    const all = await list();
    assert.equal(all.length, 2);
    assert.equal(runs.filter(({ stdout }) => stdout !== "").length, 1);
    assert.equal(all.find(({ id }) => id === first.id)?.state, "expired");
    await eventually("ended", async () => (await status(first.key)) === 401);
  });

  it("finishes a rotation that was cut off after its first step", async () => {
    const first = await made("create", "--user", "ada");
    const [stored = ""] = await redis.cli.keys("outrigger:apikey:*");
    const record = JSON.parse((await redis.cli.get(stored)) ?? "") as object;
    const cutOff = {
      ...record,
      replacedBy: "k_successor",
      expiresAt: new Date(Date.now() + 60_000).toISOString(),
    };
    await redis.cli.set(stored, JSON.stringify(cutOff));
    const second = await made("rotate", first.id);
    assert.equal(second.id, "k_successor");
    assert.equal(second.expiresAt, undefined);
    await eventually("taken", async () => (await status(second.key)) === 200);
  });

  it("gives the new key the old one's length of life", async () => {
    const first = await made("create", "--user", "ada", "--expires", "30d");
    const second = await made("rotate", first.id, "--overlap", "1h");
    const days = (Date.parse(second.expiresAt ?? "") - Date.now()) / 86_400_000;
    assert.ok(days > 29.9 && days <= 30);
  });

  it("revokes at every sidecar within a second, and again without harm", async () => {
    const { id, key } = await made("create", "--user", "ada");
    await eventually("taken", async () => (await status(key)) === 200);
    const run = await keys("revoke", id);
    assert.deepEqual([run.code, run.stdout], [0, `${id} is revoked\n`]);
    await eventually("refused", async () => (await status(key)) === 401, 4_000);
    assert.deepEqual(
      [(await keys("revoke", id)).stdout, (await list())[0]?.state],
      [`${id} was revoked before\n`, "revoked"],
    );
    const rotated = await keys("rotate", id);
    assert.deepEqual([rotated.code, rotated.stdout], [1, ""]);
  });

  it("works on keys that were set by hand, and lists records that cannot be read", async () => {
    const record = { id: "hand", userId: "u", plan: "free", scopes: [], team: "x" };
    await redis.cli.set(`outrigger:apikey:${"a".repeat(64)}`, JSON.stringify(record));
    await redis.cli.set(`outrigger:apikey:${"b".repeat(64)}`, "garbage");
    const rotated = await made("rotate", "hand");
    assert.equal((rotated as unknown as { team: string }).team, "x");
    const states = (await list()).map(({ state }) => state?.split(" ")[0]);
    assert.deepEqual(new Set(states), new Set(["active", "ends", "unreadable"]));
    await redis.cli.set(`outrigger:apikey:${"c".repeat(64)}`, JSON.stringify(record));
    assert.match((await keys("rotate", "hand")).stderr, /several keys are called hand/);
    assert.equal((await keys("revoke", "hand")).code, 0);
  });

  it("exits 1 for what is not there or out of reach, and 2 for wrong usage, with one line", async () => {
    const cases: [string[], number, Record<string, string>][] = [
      [["revoke", "nobody"], 1, { REDIS_URL: redis.url }],
      [["rotate", "nobody"], 1, { REDIS_URL: redis.url }],
      [["list"], 1, { REDIS_URL: "redis://127.0.0.1:1" }],
      [["list"], 2, {}],
      [["create"], 2, { REDIS_URL: redis.url }],
      [["create", "--user", "u", "--expires", "soon"], 2, { REDIS_URL: redis.url }],
      [["rotate", "x", "--overlap", "-1h"], 2, { REDIS_URL: redis.url }],
    ];
    for (const [args, code, env] of cases) {
      const run = await outrigger(["keys", ...args], env);
      assert.deepEqual([run.code, run.stdout], [code, ""], args.join(" "));
      assert.notEqual(run.stderr, "");
    }
  });
});

describe("lengths of time", () => {
  it("are digits and a unit, and nothing else", () => {
    assert.deepEqual(
      ["45s", "30m", "24h", "90d", "0s"].map(parseDuration),
      [45_000, 1_800_000, 86_400_000, 7_776_000_000, 0],
    );
    for (const text of ["", "1", "d", "-1d", "1.5h", "1w", "1d ", "99999999999d", "40000d"])
      assert.equal(parseDuration(text), undefined);
    assert.deepEqual([0, 59_999, 60_000, 86_400_000 * 3].map(durationText), ["0s", "59s", "1m", "3d"]);
  });
});
