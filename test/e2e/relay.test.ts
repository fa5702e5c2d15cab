// Two regions, each with a Redis, and a relay between them over a link that breaks: a policy of one region comes into
// force in the other, an older one never does, and nothing counts without a signature.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { loadConfig } from "../../src/app/environment.ts";
import { type RunningRelay, startRelay } from "../../src/app/relay.ts";
import { type Link, startLink } from "../support/link.ts";
import { outrigger } from "../support/process.ts";
import { eventually, type RedisServer, startRedis } from "../support/redis.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-relay-"));
const regions: { a: RedisServer; b: RedisServer } = {} as never;
const guide = join(import.meta.dirname, "../../deploy/guides/regions.md");
let link: Link;
let sidecar: TestSidecar;
let jwks: string;
const keyFile = join(folder, "key.json");
const relays: { relay: RunningRelay; lines: string[] }[] = [];

/** As the guide has them: of the region that is read, of the one that is written. */
const users = [...readFileSync(guide, "utf8").matchAll(/^user (.*)$/gm)].map(([, user = ""]) =>
  `--user ${user.replace("RELAY_PASSWORD", "secret")}`.split(" "),
);

before(async () => {
  assert.equal(users.length, 2);
  const [a, b] = await Promise.all(users.map((args) => startRedis({ args })));
  assert.ok(a && b);
  [regions.a, regions.b] = [a, b];
  const made = await outrigger(["policy", "keygen", keyFile]);
  assert.equal(made.code, 0, made.stderr);
  jwks = made.stdout;
  link = await startLink(regions.a.port);
});
after(async () => {
  await link.close();
  await Promise.all([regions.a.close(), regions.b.close()]);
  rmSync(folder, { recursive: true });
});
beforeEach(async () => {
  link.restore();
  await Promise.all([regions.a.cli.flushall(), regions.b.cli.flushall()]);
});
afterEach(async () => {
  await Promise.all(relays.splice(0).map(({ relay }) => relay.stop()));
  await (sidecar as TestSidecar | undefined)?.stop();
});

const status = async (): Promise<number> => (await fetch(sidecar.url)).status;
const policy = (mark: string, more: object = {}): string =>
  JSON.stringify({
    apiVersion: "outrigger/v1",
    plugins: ["transform"],
    pluginConfig: { transform: { addResponseHeaders: { "x-mark": mark } } },
    ...more,
  });
async function sidecarInB(env: Readonly<Record<string, string>> = {}): Promise<void> {
  sidecar = await startSidecar({
    redisUrl: regions.b.url,
    upstream: (_request, response) => response.end("served"),
    env: { OUTRIGGER_SERVICE: "orders", ...env },
  });
}
async function relayed(
  env: Readonly<Record<string, string>> = {},
  takeOver = false,
  now = Date.now,
): Promise<string[]> {
  const lines: string[] = [];
  const output = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk));
      done();
    },
  });
  const config = loadConfig({
    REDIS_URL: `redis://relay:secret@127.0.0.1:${regions.b.port}`,
    OUTRIGGER_RELAY_FROM: `redis://relay:secret@127.0.0.1:${link.port}`,
    OUTRIGGER_ADMIN: "127.0.0.1:0",
    ...env,
  });
  relays.push({ relay: await startRelay(config, { takeOver, pollMs: 300, output, now }), lines });
  return lines;
}
async function ask(path: string): Promise<{ status: number; text: string }> {
  const [first] = relays;
  assert.ok(first);
  const { port } = first.relay.adminAddress as AddressInfo;
  const answer = await fetch(`http://127.0.0.1:${port}${path}`);
  return { status: answer.status, text: await answer.text() };
}
const metric = async (name: string): Promise<number> =>
  Number(new RegExp(`^${RegExp.escape(name)}.* (\\S+)$`, "m").exec((await ask("/metrics")).text)?.[1]);
const held = async (name: string): Promise<string> => {
  const { held: all } = JSON.parse((await ask("/relay")).text) as {
    held: Record<string, { message: string }>;
  };
  return all[name]?.message ?? "";
};
async function ok(
  region: "a" | "b",
  args: string[],
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const all = { REDIS_URL: regions[region].url, OUTRIGGER_AUTHOR: "ada", ...env };
  const { code, stdout, stderr } = await outrigger(args, all);
  assert.equal(code, 0, `${args.join(" ")}: ${stderr}`);
  return stdout;
}
function file(text: string): string {
  const path = join(folder, "policy.json");
  writeFileSync(path, text);
  return path;
}
const apply = (region: "a" | "b", mark: string): Promise<string> =>
  ok(region, ["policy", "apply", file(policy(mark)), "--reason", `for ${mark}`]);
const mark = async (): Promise<string | null> => (await fetch(sidecar.url)).headers.get("x-mark");
const inForce = (what: string, limitMs = 15_000): Promise<void> =>
  eventually(`in force in region B: ${what}`, async () => (await mark()) === what, limitMs);
interface Line {
  readonly revision: number;
  readonly kind: string;
  readonly author: string;
  readonly reason: string;
}
const history = async (region: "a" | "b"): Promise<string[]> =>
  (JSON.parse(await ok(region, ["policy", "history", "--json"])) as { revisions: Line[] }).revisions.map(
    ({ revision, kind, author, reason }) => `${revision} ${kind} ${author} ${reason}`,
  );

test("what is applied in one region is in force in the other within a second, with its revision; a cut link changes nothing", async () => {
  await apply("a", "one");
  await apply("a", "two");
  await relayed();
  await relayed(); // a second one beside it
  await sidecarInB();
  await inForce("two");
  await apply("a", "three");
  await inForce("three", 1_000);
  await regions.a.cli.set("outrigger:policy", policy("plain"));
  await inForce("plain", 1_000);
  // What a sidecar saw of a plain SET the history of its region has, too, under the next number.
  await apply("a", "five");
  await inForce("five", 1_000);
  assert.deepEqual((await history("b")).slice(0, 2), [
    "5 apply ada for five",
    "4 direct somebody (seen by outrigger relay) ",
  ]);
  const receipt = JSON.parse(await (await fetch(`${sidecar.adminUrl}/policy`)).text()) as {
    revision: number;
  };
  assert.equal(receipt.revision, 5);

  link.cut();
  await eventually(
    "it is told",
    async () => (await metric('outrigger_relay_up{service="default",end="source"}')) === 0,
  );
  await apply("a", "six");
  await apply("a", "seven");
  await eventually("the lag grows", async () => (await metric("outrigger_relay_lag_seconds")) > 0.5);
  assert.equal(await mark(), "five");
  link.restore();
  await inForce("seven");
  assert.equal((await history("b"))[0], "7 apply ada for seven");
  await eventually("no lag", async () => (await metric("outrigger_relay_lag_seconds")) < 0.5);
  const ready = await ask("/readyz?verbose");
  assert.equal(ready.status, 200, ready.text);
});

test("a source that was restored from a backup is refused, and says so; --take-over has it count", async () => {
  await apply("a", "one");
  const lines = await relayed();
  await sidecarInB();
  await inForce("one");
  await apply("a", "two");
  await inForce("two");
  await regions.a.cli.flushall();
  await apply("a", "older");
  await eventually("it is told", async () =>
    /source is at revision 1, and revision 2 was relayed/.test(await held("policy")),
  );
  assert.equal(await mark(), "two");
  assert.match(lines.join(""), /restored from a backup/);
  assert.equal(await metric('outrigger_relay_held{service="default",why="refused"}'), 1);
  await apply("a", "other"); // of revision 2, as another one was
  await eventually("it is told", async () => /another document of revision 2/.test(await held("policy")));
  assert.equal(await mark(), "two");
  await relays.splice(0)[0]?.relay.stop();
  await relayed({}, true);
  await inForce("other");
  assert.equal((await history("b"))[0], "3 apply ada for other");
});

test("a region's own layer stays, one of the source's goes as it came; an emptied source takes nothing away", async () => {
  await apply("a", "one");
  await ok("a", ["policy", "apply", file(policy("layer")), "--service", "orders"]);
  await regions.b.cli.set("outrigger:policy:local", policy("own"));
  await relayed();
  await sidecarInB();
  await inForce("layer");
  // Changed in this region, in need: stays until the source has another one.
  await ok("b", ["policy", "apply", file(policy("need")), "--service", "orders"]);
  await inForce("need");
  await eventually("it is told", async () => /was changed in this region/.test(await held("policy:orders")));
  await ok("a", ["policy", "apply", file(policy("next")), "--service", "orders"]);
  await inForce("next", 1_000);
  assert.equal(await held("policy:orders"), "");
  await regions.a.cli.del("outrigger:policy:orders");
  await inForce("one", 1_000);
  assert.notEqual(await regions.b.cli.get("outrigger:policy:local"), null);
  await ok("a", ["plugins", "disable", "transform", "--reason", "it leaks"]);
  await inForce(null as never, 1_000);
  await ok("b", ["plugins", "disable", "cache", "--reason", "of this region"]);
  await regions.a.cli.flushall();
  await regions.a.cli.set("outrigger:policy:later", policy("later"));
  await eventually("it has looked", async () => (await regions.b.cli.exists("outrigger:policy:later")) === 1);
  assert.equal(await mark(), null);
  assert.equal((await regions.b.cli.hkeys("outrigger:disabled")).length, 2);
  assert.match((await regions.b.cli.get("outrigger:policy")) ?? "", /one/);
});

test("kill switches follow within a second, on and off", async () => {
  await apply("a", "one");
  await relayed();
  await sidecarInB();
  await inForce("one");
  await ok("a", ["plugins", "disable", "transform", "--reason", "it leaks"]);
  await inForce(null as never, 1_000);
  await ok("a", ["plugins", "enable", "transform", "--reason", "mended"]);
  await inForce("one", 1_000);
  // Off by this region's own word: the other's comes and goes beside it.
  const cacheIs = async (): Promise<string> =>
    (await regions.b.cli.hget("outrigger:disabled", "cache * *")) ?? "";
  await ok("b", ["plugins", "disable", "cache", "--reason", "ours", "--ttl", "1h"]);
  const switches = async (verb: string, plugin: string): Promise<string> =>
    await ok("a", ["plugins", verb, plugin, "--reason", "theirs"]);
  await switches("disable", "cache");
  await switches("disable", "transform");
  await inForce(null as never, 1_000);
  assert.match(await cacheIs(), /ours/);
  await switches("enable", "cache");
  await switches("enable", "transform");
  await inForce("one", 1_000);
  assert.match(await cacheIs(), /ours/);
  await switches("disable", "cache");
  await ok("b", ["plugins", "enable", "cache"]);
  await eventually("the other's counts by then", async () => /theirs/.test(await cacheIs()));
  await ok("b", ["plugins", "enable", "cache"]);
  await switches("disable", "transform");
  await inForce(null as never, 1_000);
  assert.equal(await cacheIs(), "");
});

test("kill switches end by Redis' clock, whatever the relay's machine says", async () => {
  for (const byMs of [7_200_000, -7_200_000]) {
    await apply("a", "one");
    await sidecarInB();
    await relayed({}, false, () => Date.now() + byMs);
    await inForce("one");
    await ok("a", ["plugins", "disable", "transform", "--reason", "it leaks", "--ttl", "1h"]);
    await inForce(null as never, 2_000);
    // One that is over here, and was this region's, makes way for the source's.
    const over = { reason: "ours", author: "ada", openRoutes: true, atMs: 1, untilMs: Date.now() - 1_000 };
    await regions.b.cli.hset("outrigger:disabled", "cache * *", JSON.stringify(over));
    await ok("a", ["plugins", "disable", "cache", "--reason", "theirs", "--ttl", "1h"]);
    await eventually("the source's is there", async () =>
      /theirs/.test((await regions.b.cli.hget("outrigger:disabled", "cache * *")) ?? ""),
    );
    await Promise.all(relays.splice(0).map(({ relay }) => relay.stop()));
    await sidecar.stop();
    await Promise.all([regions.a.cli.flushall(), regions.b.cli.flushall()]);
  }
});

test("with keys nothing goes on that they did not sign, and nothing older; new keys go ahead of what they signed", async () => {
  const keys = { OUTRIGGER_POLICY_KEYS: jwks };
  const signed = async (name: string, epoch: number): Promise<string> =>
    await ok("a", ["policy", "sign", file(policy(name)), "--key", keyFile, "--epoch", String(epoch)], keys);
  const [first, second, third] = [await signed("one", 5), await signed("two", 7), await signed("three", 6)];
  await regions.a.cli.set("outrigger:policy", first);
  await relayed(keys);
  await sidecarInB(keys);
  await inForce("one");
  await regions.a.cli.set("outrigger:policy", policy("forged"));
  await eventually("it is told", async () => /is not signed/.test(await held("policy")));
  const at = second.lastIndexOf(".") + 9;
  const other = second[at] === "A" ? "B" : "A";
  await regions.a.cli.set("outrigger:policy", second.slice(0, at) + other + second.slice(at + 1));
  await eventually("it is told", async () => /not signed by any/.test(await held("policy")));
  assert.equal(await mark(), "one");
  await regions.a.cli.set("outrigger:policy", second);
  await inForce("two", 1_000);
  await regions.a.cli.set("outrigger:policy", third);
  await eventually("it is told", async () =>
    /is of epoch 6, and this region has had one of epoch 7/.test(await held("policy")),
  );
  assert.equal(await regions.b.cli.get("outrigger:policy"), second);
  // Whoever can write this region's Redis puts back what was signed once: the source's comes back.
  await regions.b.cli.set("outrigger:policy", first);
  await regions.a.cli.set("outrigger:policy", second);
  await eventually("it is back", async () => (await regions.b.cli.get("outrigger:policy")) === second);
  const next = join(folder, "next.json");
  const made = await outrigger(["policy", "keygen", next]);
  writeFileSync(join(folder, "next.jwks"), made.stdout);
  await ok("a", ["policy", "rotate", "--key", keyFile, "--trust", join(folder, "next.jwks")], keys);
  const fourth = await ok("a", ["policy", "sign", file(policy("four")), "--key", next], keys);
  await regions.a.cli.set("outrigger:policy", fourth);
  await inForce("four", 2_000);
  // A kill switch that nobody signed stays where it is.
  await regions.a.cli.hset(
    "outrigger:disabled",
    "transform * *",
    '{"untilMs":null,"reason":"","author":"eve","atMs":1,"openRoutes":true}',
  );
  await regions.a.cli.publish("outrigger:disabled", "");
  // Nor does one keep the signed one away, which somebody wrote in this region.
  const forged = JSON.stringify({ untilMs: null, reason: "", author: "eve", atMs: 8e15, openRoutes: true });
  await regions.b.cli.hset("outrigger:disabled", "cache * *", forged);
  await ok("a", ["plugins", "disable", "cache", "--reason", "x", "--ttl", "1h", "--key", keyFile], keys);
  await eventually(
    "the signed one is there",
    async () => (await regions.b.cli.hget("outrigger:disabled", "cache * *")) !== forged,
  );
  assert.deepEqual(await regions.b.cli.hkeys("outrigger:disabled"), ["cache * *"]);
});

test("packages that the policy pins are there before it is; with other bytes it does not go on", async () => {
  const bytes = Buffer.from("a package");
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  const extensions = { geo: { source: "redis:plugin:geo", version: "1.0.0", sha256, runtime: "trusted" } };
  await regions.a.cli.set("outrigger:plugin:geo@1.0.0", Buffer.from("other"));
  await regions.a.cli.set("outrigger:policy", policy("geo", { extensions }));
  await relayed();
  await eventually("it is told", async () => /other bytes/.test(await held("policy")));
  assert.equal(await regions.b.cli.exists("outrigger:policy"), 0);
  await regions.a.cli.set("outrigger:plugin:geo@1.0.0", bytes);
  await eventually("it goes on", async () => (await regions.b.cli.exists("outrigger:policy")) === 1);
  assert.deepEqual(await regions.b.cli.getBuffer("outrigger:plugin:geo@1.0.0"), bytes);
});

test("one key of another type, or a number beyond all, holds up nothing but its own document", async () => {
  await apply("a", "one");
  const [a, b] = [regions.a.cli, regions.b.cli];
  await a.hset("outrigger:policy:bad", "of", "another type");
  await b.set("outrigger:policy:long", Buffer.alloc(3_000_000, " "));
  await a.set("outrigger:policy:long", policy("short"));
  const oddNames = ["a b", "", "x".repeat(5_000)].map((name) => `outrigger:policy:${name}`);
  for (const name of oddNames) await a.set(name, policy("odd"));
  await relayed({}, true);
  await sidecarInB();
  await inForce("one");
  await eventually("it is told", async () =>
    /policy:bad.* is of another type/.test(await held("policy:bad")),
  );
  await eventually("it is told", async () => /longer than 2097152 bytes/.test(await held("policy:long")));
  assert.match(await held("layer names"), /^3 keys policy:… have names that no service can have/);
  assert.equal(await b.exists(...oddNames), 0);
  await ok("a", ["plugins", "disable", "transform", "--reason", "it leaks"]);
  await inForce(null as never, 1_000);
  await ok("a", ["plugins", "enable", "transform", "--reason", "mended"]);
  // Whoever writes the source says which number it is; the next one of this region has to fit, too.
  const text = policy("beyond");
  const digest = (kind: string): string => createHash(kind).update(text).digest("hex");
  const head = { revision: Number.MAX_SAFE_INTEGER, mark: digest("sha1"), digest: digest("sha256") };
  await a.mset("outrigger:policy", text, "outrigger:applied", JSON.stringify(head));
  await eventually("it is told", async () => /too far beyond/.test(await held("policy")));
  assert.deepEqual(await history("b"), ["1 apply ada for one"]);
});

test("keys and switches of another type, here or there, hold up nothing but themselves", async () => {
  const keys = { OUTRIGGER_POLICY_KEYS: jwks };
  const { a, b } = { a: regions.a.cli, b: regions.b.cli };
  await a.lpush("outrigger:policy-keys", "x");
  await a.set("outrigger:disabled", "x");
  const put = async (name: string, epoch: number): Promise<void> => {
    const text = await ok(
      "a",
      ["policy", "sign", file(policy(name)), "--key", keyFile, "--epoch", `${epoch}`],
      keys,
    );
    await a.set("outrigger:policy", text);
    await eventually(`${name} is there`, async () => (await b.get("outrigger:policy")) === text);
  };
  await relayed(keys);
  await put("one", 5);
  await eventually("it is told", async () =>
    /the source's is of another type/.test(await held("policy-keys")),
  );
  await eventually("it is told", async () => /disabled is of another type/.test(await held("disabled")));
  assert.equal((await ask("/readyz")).status, 200);
  await b.lpush("outrigger:policy-keys", "x");
  await a.del("outrigger:policy-keys", "outrigger:disabled");
  await put("two", 6);
  await eventually("it is told", async () => /this region's is of another/.test(await held("policy-keys")));
  await b.del("outrigger:policy-keys");
  await eventually("all is well", async () => /"held": \{\}/.test((await ask("/relay")).text));
});

test("what two regions that follow each other changed at once is not exchanged for ever", async () => {
  await apply("b", "ours");
  const [text, head] = await regions.b.cli.mget("outrigger:policy", "outrigger:applied");
  await apply("b", "later");
  await regions.b.cli.set("outrigger:relayed", '{"revision":1,"mark":"","direct":false,"signedEpoch":0}');
  const further = JSON.stringify({ ...(JSON.parse(head ?? "") as object), revision: 9 });
  await regions.a.cli.mset("outrigger:policy", text ?? "", "outrigger:applied", further);
  await relayed();
  await eventually("it is told", async () => /both follow each other/.test(await held("policy")));
  assert.match((await regions.b.cli.get("outrigger:policy")) ?? "", /later/);
  await apply("a", "next");
  await eventually("it goes", async () => /next/.test((await regions.b.cli.get("outrigger:policy")) ?? ""));
  assert.equal((await history("b"))[0], "10 apply ada for next");
});

test("what is missing or the same is told, one a line", async () => {
  const wrong = (env: Readonly<Record<string, string>>, problem: RegExp): Promise<void> =>
    assert.rejects(startRelay(loadConfig(env), { takeOver: false }), problem);
  await wrong({}, /^ConfigError: REDIS_URL: is not set.*\nOUTRIGGER_RELAY_FROM: is not set/);
  const { url } = regions.a;
  await wrong({ REDIS_URL: url, OUTRIGGER_RELAY_FROM: url }, /a region does not follow itself/);
});

test("a quota over regions: leased over the link, its share when that is cut, and never more than all of it", async () => {
  const limit = {
    name: "per-day",
    by: "service",
    limit: 60,
    window: "1d",
    algorithm: "fixed",
    regions: { home: "a", names: ["a", "b"], share: 0.1 },
  };
  const document = JSON.stringify({
    apiVersion: "outrigger/v1",
    plugins: ["rate-limit"],
    pluginConfig: { "rate-limit": { limits: [limit] } },
  });
  await ok("a", ["policy", "apply", file(document), "--reason", "a quota"]);
  await relayed({ OUTRIGGER_REGION: "b", OUTRIGGER_RELAY_FROM_REGION: "a" });
  await sidecarInB({ OUTRIGGER_REGION: "b" });
  await eventually("a lease", async () => {
    await status();
    return (await metric('outrigger_relay_quota_permits_total{service="default",act="leased"}')) >= 12;
  });
  link.cut();
  let admitted = 0;
  for (let at = 0; at < 60; at += 1) if ((await status()) === 200) admitted += 1;
  assert.ok(admitted < 60, `${admitted}`);
  assert.equal(await status(), 429, "cut off, it refuses what nobody has lent it");
  link.restore();
  await eventually("goes on where the link is back", async () => (await status()) === 200, 15_000);
});
