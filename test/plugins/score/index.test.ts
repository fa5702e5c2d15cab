// The score plugin in running sidecars: models in Redis, features of requests, and the effects of scores.
import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { CallerRates } from "../../../plugins/score/caller-rates.ts";
import { compileFeatures, createCallerOf } from "../../../plugins/score/features.ts";
import { scoreOptions } from "../../../plugins/score/options.ts";
import { TestClock } from "../../../src/testing/clock.ts";
import { exchangeOf, identityOf } from "../../support/exchange.ts";
import { outrigger } from "../../support/process.ts";
import { eventually, type RedisServer, startRedis } from "../../support/redis.ts";
import { startSidecar, type TestSidecar } from "../../support/sidecar.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-score-"));
let redis: RedisServer;
before(async () => {
  redis = await startRedis();
});
after(async () => {
  await redis.close();
  rmSync(folder, { recursive: true });
});
beforeEach(() => redis.cli.flushall());

/** The score is the amount, of which 100 counts at most, in hundredths. */
const hundredths = (above: number): object =>
  above === 100
    ? { leaf_value: 1 }
    : {
        split_feature: 0,
        threshold: above,
        decision_type: "<=",
        default_left: true,
        missing_type: "NaN",
        left_child: { leaf_value: above / 100 },
        right_child: hundredths(above + 20),
      };
const model = {
  num_class: 1,
  num_tree_per_iteration: 1,
  feature_names: ["amount", "known"],
  tree_info: [{ tree_structure: hundredths(0) }],
};
const golden = [
  { row: [35, null], score: 0.4 },
  { row: [null, 1], score: 0 },
];
const bytes = JSON.stringify({ model, golden, training: { amount: { mean: 10, deviation: 5 } } });
const sha256 = hash("sha256", bytes);
const features = [
  { name: "amount", from: "header", of: "X-Amount" },
  { name: "known", from: "missing" },
];
const publish = (): Promise<unknown> => redis.cli.set("outrigger:model:fraud@1", bytes);

const policyOf = (
  score: object,
  plugins: readonly string[] = ["logging", "score"],
): Record<string, unknown> => ({
  plugins,
  pluginConfig: { score: { model: { name: "fraud@1", sha256 }, features, ...score } },
});

const start = (score: object, more: object = {}): Promise<TestSidecar> =>
  startSidecar({
    redisUrl: redis.url,
    policy: policyOf(score),
    upstream: ({ headers }, response) =>
      response.end(`${String(headers["x-score"])} ${String(headers["x-risk"])}`),
    ...more,
  });

async function ask(
  { url }: TestSidecar,
  amount?: string,
  headers: Record<string, string> = {},
): Promise<string> {
  const answer = await fetch(url, {
    headers: { ...headers, ...(amount !== undefined && { "X-Amount": amount }) },
  });
  return `${answer.status} ${answer.ok ? await answer.text() : ((await answer.json()) as { code: string }).code}`;
}

test("a score reaches service, log and metrics, and what it is above is done", async () => {
  await publish();
  await using sidecar = await start({
    shadow: false,
    output: { field: "X-Score" },
    act: [
      { above: 0.3, do: "tag", tag: "some" },
      { above: 0.5, do: "tag" },
      { above: 0.7, do: "limit", perMinute: 2 },
      { above: 0.9, do: "reject" },
    ],
  });
  assert.equal(await ask(sidecar, "10"), "200 0.200000 undefined");
  assert.equal(await ask(sidecar, "35"), "200 0.400000 some");
  assert.equal(await ask(sidecar, "55"), "200 0.600000 high");
  assert.equal(await ask(sidecar, "100"), "403 forbidden");
  const limited = [await ask(sidecar, "75"), await ask(sidecar, "75"), await ask(sidecar, "75")];
  assert.deepEqual(limited, ["200 0.800000 high", "200 0.800000 high", "429 rate_limited"]);
  assert.equal(await ask(sidecar, "a lot"), "200 0.00000 undefined", "no number is missing");
  const refused = await sidecar.line(({ status, msg }) => msg === "request" && status === 403);
  assert.deepEqual([refused["score"], refused["refusedBecause"]], [1, "score 1.000 is above 0.9"]);
  const metrics = await sidecar.metrics();
  for (const [result, count] of [
    ["scored", 8],
    ["reject", 1],
    ["limit", 1],
    ["tag", 4],
  ] as const)
    assert.match(
      metrics,
      new RegExp(`^outrigger_score_requests_total\\{.*result="${result}".*\\} ${count}$`, "m"),
    );
  assert.match(metrics, /^outrigger_score_values_count\{.*model="fraud@1".*\} 8$/m);
});

test("what clients say of their own score is gone, on every route", async () => {
  await publish();
  const forged = { "X-Score": "0", "X-Risk": "none" };
  const policy = {
    ...policyOf({ shadow: false, output: { field: "X-Score" }, act: [{ above: 0.5, do: "tag" }] }),
    routes: [{ path: "/*" }, { path: "/other", plugins: [] }],
  };
  await using sidecar = await start({}, { policy });
  assert.equal(await ask(sidecar, "10", forged), "200 0.200000 undefined");
  assert.equal(
    await ask({ ...sidecar, url: `${sidecar.url}/other` }, "10", forged),
    "200 undefined undefined",
  );
});

test("in the shadow nothing is done, and all is counted", async () => {
  await publish();
  await using sidecar = await start({ output: { field: "X-Score" }, act: [{ above: 0.5, do: "reject" }] });
  assert.equal(await ask(sidecar, "90"), "200 undefined undefined");
  await sidecar.line(({ score }) => score === 1);
  assert.match(
    await sidecar.metrics(),
    /^outrigger_score_requests_total\{.*result="reject",shadow="true".*\} 1$/m,
  );
});

test("features that have gone from those in training show", async () => {
  await publish();
  await using sidecar = await start({});
  for (let i = 0; i < 100; i += 1) await ask(sidecar, "25");
  assert.match(await sidecar.metrics(), /^outrigger_score_drift\{.*feature="amount".*\} 3$/m);
});

test("a client's absurd numbers do not hide it for long", async () => {
  await publish();
  await using sidecar = await start({});
  for (const amount of ["1e999", "-1e999", "1e300"]) await ask(sidecar, amount);
  for (let i = 0; i < 97; i += 1) await ask(sidecar, "25");
  const drift = /^outrigger_score_drift\{.*feature="amount".*\} (.*)$/m.exec(await sidecar.metrics())?.[1];
  assert.equal(Number(drift).toFixed(1), "4.0");
});

test("a model that is not there, another one, or one that does not fit refuses the policy", async () => {
  await publish();
  await using sidecar = await start({});
  for (const [score, message] of [
    [{ model: { name: "fraud@2", sha256 } }, /there is no key model:fraud@2/],
    [{ model: { name: "fraud@1", sha256: "0".repeat(64) } }, /has another SHA-256/],
    [{ features: features.slice(0, 1) }, /known of the model has no source/],
    [{ features: [...features, { name: "x", from: "hour" }] }, /features\[2\]\.name: the model has no "x"/],
  ] as const) {
    await redis.cli.set(
      "outrigger:policy",
      JSON.stringify({ apiVersion: "outrigger/v1", ...policyOf(score) }),
    );
    await sidecar.line(
      (line) => String(line["msg"]).startsWith("policy refused") && message.test(String(line["problems"])),
    );
  }
  assert.equal(await ask(sidecar, "90"), "200 undefined undefined");
});

test("without Redis at its start a sidecar serves unscored, and scores once it is there", async () => {
  await publish();
  await redis.stop();
  await using sidecar = await start({ shadow: false, act: [{ above: 0.5, do: "reject" }] });
  assert.equal(await ask(sidecar, "90"), "200 undefined undefined");
  await sidecar.line(({ msg }) => msg === "requests are not scored: Redis is away");
  await redis.restart();
  await publish();
  await eventually("it scores", async () => (await ask(sidecar, "90")) === "403 forbidden");
});

test("score publish checks a model, and tells what the policy needs", async () => {
  const file = join(folder, "model.json");
  writeFileSync(file, JSON.stringify(model));
  const env = { REDIS_URL: redis.url };
  const rows = join(folder, "golden.json");
  writeFileSync(rows, JSON.stringify(golden));
  const published = await outrigger(["score", "publish", file, "--as", "fraud@3", "--golden", rows], env);
  assert.deepEqual([published.code, published.stderr], [0, ""]);
  const [, told] = /sha256: ([0-9a-f]{64}) \}/.exec(published.stdout) ?? [];
  assert.equal(hash("sha256", await redis.cli.getBuffer("outrigger:model:fraud@3").then(String)), told);
  await using sidecar = await start({
    model: { name: "fraud@3", sha256: told },
    shadow: false,
    act: [{ above: 0.5, do: "reject" }],
  });
  assert.equal(await ask(sidecar, "90"), "403 forbidden");

  writeFileSync(rows, JSON.stringify([{ row: [35, null], score: 0.41 }]));
  const lying = await outrigger(["score", "publish", file, "--as", "fraud@4", "--golden", rows], env);
  assert.match(lying.stderr, /golden\[0\]: has the score 0\.41, and the model gives 0\.4/);
  const again = await outrigger(["score", "publish", file, "--as", "fraud@3"], env);
  assert.match(again.stderr, /fraud@3 is there with other content: a version never changes/);
  assert.deepEqual(
    [lying.code, again.code, (await outrigger(["score", "publish", file, "--as", "x"], env)).code],
    [1, 1, 2],
  );
});

test("features are read from where the policy says", () => {
  const all: [Record<string, unknown>, number][] = [
    [{ from: "header", of: "X-N" }, 12.5],
    [{ from: "header", of: "X-Kind", map: { card: 3 } }, 3],
    [{ from: "header", of: "X-Other", otherwise: -1 }, -1],
    [{ from: "claim", of: "age" }, 41],
    [{ from: "claim", of: "vip" }, 1],
    [{ from: "segment", of: 2 }, 77],
    [{ from: "method", map: { POST: 2 } }, 2],
    [{ from: "hour" }, 13],
    [{ from: "weekday" }, 4],
    [{ from: "constant", of: 8 }, 8],
    [{ from: "missing" }, Number.NaN],
    [{ from: "rate" }, 5],
  ];
  const named = all.map(([feature], i) => ({ name: `f${i}`, ...feature }));
  const { features: options } = scoreOptions.parse({ features: named });
  const names = named.map(({ name }) => name);
  const fill = compileFeatures(options, names, () => 5);
  const row = new Float64Array(names.length);
  const exchange = exchangeOf({
    method: "POST",
    path: "/orders/77",
    fields: ["X-N", "12.5", "X-Kind", "card"],
    identity: identityOf({ claims: { age: 41, vip: true } }),
  });
  Object.assign(exchange, { startedAt: Date.UTC(2026, 0, 1, 13, 5) });
  fill(exchange, row);
  assert.deepEqual(
    [...row],
    all.map(([, value]) => value),
  );
});

test("a caller is known by address or identity, in a few characters", () => {
  const callerOf = createCallerOf();
  const of = (userId: string, issuer = "https://a.example"): string =>
    callerOf(exchangeOf({ identity: identityOf({ userId, issuer }) }));
  const long = "u".repeat(10_000);
  assert.equal(new Set([of("a"), of("b"), of("a", "https://b.example"), of(long), of(`${long}u`)]).size, 5);
  assert.ok(of(long).length <= 128);
  assert.equal(
    callerOf(exchangeOf({ address: "2001:db8::1" })),
    callerOf(exchangeOf({ address: "2001:db8::2" })),
  );
});

test("options that say nothing, or nothing sound, are refused", () => {
  for (const feature of [
    { from: "header" },
    { from: "hour", of: "x" },
    { from: "segment", of: 0 },
    { from: "method" },
    { from: "rate", map: { a: 1 } },
    { from: "constant", of: "1" },
  ])
    assert.equal(
      scoreOptions.safeParse({ features: [{ name: "a", ...feature }] }).success,
      false,
      feature.from,
    );
  assert.equal(scoreOptions.safeParse({ act: [{ above: 1, do: "limit" }] }).success, false);
  assert.equal(scoreOptions.safeParse({ output: { field: "Authorization" } }).success, false);
});

test("the requests of a caller within a minute are counted as they go by", () => {
  const clock = new TestClock();
  const rates = new CallerRates(clock);
  for (let i = 0; i < 9; i += 1) rates.count("a");
  assert.equal(rates.count("a"), 10);
  assert.equal(rates.count("b"), 1);
  clock.advance(90_000);
  assert.equal(rates.count("a"), 6);
  clock.advance(120_000);
  assert.equal(rates.count("a"), 1);
});

test("the example policy is one", () => {
  assert.match(
    readFileSync(join(import.meta.dirname, "../../../deploy/policies/score.yaml"), "utf8"),
    /^ {2}score:/m,
  );
});
