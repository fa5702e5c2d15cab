// Sidecars and commands of two versions on one Redis, as in every roll-out: the previous version as it was recorded,
// this one as its processes run. Each leaves alone what it does not know of the other.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { OlderSidecar, readByOlder, writeByOlder } from "../support/older-sidecar.ts";
import { outrigger } from "../support/process.ts";
import { eventually, type RedisServer, startRedis } from "../support/redis.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-mixed-"));
let redis: RedisServer;
let newer: TestSidecar;
let older: OlderSidecar;
let count = 0;
function file(mark: string): string {
  const path = join(folder, `${++count}.json`);
  writeFileSync(path, documentOf(mark));
  return path;
}
const documentOf = (mark: string): string =>
  JSON.stringify({
    apiVersion: "outrigger/v1",
    plugins: ["transform"],
    pluginConfig: { transform: { addResponseHeaders: { "x-mark": mark } } },
  });
const run = (...args: string[]) => outrigger(args, { REDIS_URL: redis.url, OUTRIGGER_AUTHOR: "ada" });
async function json<Result>(...args: string[]): Promise<Result> {
  const { stdout, stderr } = await run(...args, "--json");
  assert.notEqual(stdout, "", stderr);
  return JSON.parse(stdout) as Result;
}
const mark = async (): Promise<string | null> => (await fetch(newer.url)).headers.get("x-mark");

before(async () => {
  redis = await startRedis();
  await writeByOlder(redis.cli, { revision: 1, document: documentOf("older-1"), author: "eve" });
  await writeByOlder(redis.cli, { revision: 2, document: documentOf("older-2"), author: "eve" });
  older = new OlderSidecar(redis.cli, "orders", "old-1");
  await older.start();
  newer = await startSidecar({
    upstream: (_request, response) => response.end("ok"),
    redisUrl: redis.url,
    env: { OUTRIGGER_SERVICE: "orders", OUTRIGGER_INSTANCE: "new-1" },
  });
});
after(async () => {
  await older.stop();
  await newer.stop();
  await redis.close();
  rmSync(folder, { recursive: true });
});

test("a history of the version before is read, numbered and continued, and the version before reads on", async () => {
  assert.equal(await mark(), "older-2");
  const { revision, revisionFrom } = (await (await fetch(`${newer.adminUrl}/policy`)).json()) as {
    revision: number;
    revisionFrom: string;
  };
  assert.deepEqual([revision, revisionFrom], [2, "history"]);
  assert.equal((await json<{ revision: number }>("policy", "apply", file("newer-3"))).revision, 3);
  // A version to come tells more, and of kinds that this one does not know.
  await writeByOlder(
    redis.cli,
    { revision: 4, document: documentOf("later-4"), author: "bob" },
    {
      kind: "promote",
      canary: "10%",
    },
  );
  const { revisions } = await json<{ revisions: { revision: number; kind: string; author: string }[] }>(
    "policy",
    "history",
  );
  assert.deepEqual(
    revisions.map((each) => `${each.revision} ${each.kind} ${each.author}`),
    ["4 promote bob", "3 apply ada", "2 apply eve", "1 apply eve"],
  );
  assert.equal((await run("policy", "rollback", "1")).code, 0);
  await eventually("older-1 is in force again", async () => (await mark()) === "older-1");
  const read = await readByOlder(redis.cli);
  assert.deepEqual(read.entries.slice(0, 3), ["5 rollback ada", "4 promote bob", "3 apply ada"]);
  assert.deepEqual(read.head, { revision: 5, kind: "rollback", author: "ada" });
});

test("fleet shows both versions, each with what it tells; each counts the other", async () => {
  type Row = { instance: string; state: string; version: string; policyRevision: string; region: unknown };
  const rows = async (): Promise<Row[]> => (await json<{ sidecars: Row[] }>("fleet")).sidecars;
  await eventually("both are there", async () => (await rows()).length === 2);
  const shown = (await rows()).map((row) => [row.instance, row.state, row.version, row.region]);
  const { version } = (await import("../../src/version.ts")) as { version: string };
  assert.deepEqual(shown, [
    ["new-1", "live", version, null],
    ["old-1", "live", "0.0.9", null],
  ]);
  const { stdout } = await run("fleet");
  assert.match(stdout, /^orders +old-1 +- +\d+ +- +0\.0\.9 +\? *$/m);
  await eventually("the older counts both", () => older.size === 2);
  // A heartbeat of a version to come.
  const [seconds] = await redis.cli.time();
  await redis.cli.zadd("outrigger:live:orders", Number(seconds) * 1_000, "next-1");
  const beat = {
    version: "9.0.0",
    documents: { shared: "x", layer: null, canary: "y" },
    upSeconds: "long",
    mood: {},
  };
  await redis.cli.set("outrigger:fleet:orders:next-1", JSON.stringify(beat));
  assert.equal((await rows()).find(({ instance }) => instance === "next-1")?.version, "9.0.0");
  await redis.cli.del("outrigger:fleet:orders:next-1");
  await redis.cli.zrem("outrigger:live:orders", "next-1");
});

test("apply --wait waits for both, and says that an older one has not got it", async () => {
  type Receipts = {
    converged: boolean;
    concerned: number;
    inForce: number;
    late: string[];
    ms: { max: number };
  };
  const apply = async (name: string, wait: string): Promise<Receipts> =>
    (await json<{ receipts: Receipts }>("policy", "apply", file(name), wait)).receipts;
  const both = await apply("newer-6", "--wait=10s");
  assert.deepEqual([both.converged, both.concerned, both.inForce], [true, 2, 2]);
  assert.ok(both.ms.max < 10_000);
  older.refuses = true;
  const one = await apply("newer-7", "--wait=1s");
  assert.deepEqual([one.converged, one.inForce, one.late], [false, 1, ["orders/old-1"]]);
  assert.match((await run("fleet")).stdout, /old-1 .*plugins\[0\] unknown plugin \(and 1 more\)/);
  older.refuses = false;
  const again = await apply("newer-8", "--wait=10s");
  assert.equal(again.converged, true);
});
