// The script that decides a canary's outcome, on a real Redis, with reports as sidecars make them.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import {
  type Figures,
  figurePlaces,
  figuresLength,
  FigureCounts,
  shownFigures,
} from "../../../src/canary/figures.ts";
import { countedStatus } from "../../../src/canary/counted-status.ts";
import { parseGuards, guardText, type Guard } from "../../../src/canary/guard.ts";
import { reportCanary } from "../../../src/canary/report-script.ts";
import { CanaryReporter } from "../../../src/canary/reporter.ts";
import { parseRedisAddress } from "../../../src/redis/address.ts";
import { createStore, type RedisStore } from "../../../src/redis/store.ts";
import { eventually, type RedisServer, startRedis } from "../../support/redis.ts";

const guardsOf = (text: string): Guard[] => {
  const guards = parseGuards(text);
  if (typeof guards === "string") assert.fail(guards);
  return [...guards];
};
/** @param bad 5xx of the service @param refused 404 of the sidecar @param timeMs of each answer */
function figures(requests: number, { bad = 0, denied = 0, refused = 0, timeMs = 10 } = {}): Figures {
  const counts = new FigureCounts();
  for (let i = 0; i < requests; i += 1)
    counts.count(i < bad ? 500 : i < bad + denied ? 403 : 200, false, timeMs);
  for (let i = 0; i < refused; i += 1) counts.count(404, true, timeMs);
  return counts.read();
}
const none: Figures = [];

describe("the script of canaries", () => {
  let redis: RedisServer;
  let store: RedisStore;
  let id = "";
  before(async () => {
    redis = await startRedis();
    store = createStore({
      limitMs: 2_000,
      address: parseRedisAddress(redis.url),
      keyPrefix: "outrigger:",
      connectionName: "canary-test",
    });
    assert.ok(await store.whenUp(5_000));
  });
  beforeEach(() => void (id = crypto.randomUUID()));
  after(async () => {
    store.close();
    await redis.close();
  });

  async function begin(guards: string, plan: object = {}, stepAgoMs = 0): Promise<void> {
    const [seconds] = await redis.cli.time();
    const at = Number(seconds) * 1_000 - stepAgoMs;
    const full = {
      steps: [10, 50],
      guards: guardsOf(guards),
      minRequests: 20,
      everyMs: 10,
      forMs: 60_000,
      silentMs: 60_000,
      ...plan,
    };
    await redis.cli.del("outrigger:canary-state");
    await redis.cli.hset("outrigger:canary-state", {
      id,
      state: "running",
      step: 1,
      stepAt: at,
      startedAt: at,
      plan: JSON.stringify(full),
    });
  }
  const stepEnds = () => redis.cli.hincrby("outrigger:canary-state", "stepAt", -60_000);
  const sidecar = (instance: string, service = "shop") =>
    new CanaryReporter({ id }, { store, keyPrefix: "outrigger:", service, instance });
  const report = (from: CanaryReporter, tries: boolean, counted: Figures, other: Figures = none) =>
    from.report({
      tries,
      candidate: tries ? counted : other,
      baseline: tries ? other : counted,
      refused: undefined,
      moved: false,
    });

  test("withdraws at once what is no bad luck, and at the end of a step what is over the limit", async () => {
    await begin("errors<10%");
    assert.equal(
      (await report(sidecar("a"), true, figures(4, { bad: 1 }))).state,
      "running",
      "one alone is nothing",
    );
    assert.equal(
      (await report(sidecar("b"), true, figures(40, { bad: 4 }))).state,
      "running",
      "may be bad luck",
    );
    const { state, why } = await report(sidecar("c"), true, figures(10, { bad: 10 }));
    assert.deepEqual(
      [state, why],
      ["withdrawn", "shop: errors 27.78 %, allowed 10.00 % (15 of 54 requests)"],
    );
    await begin("errors<10%", {}, 61_000);
    assert.equal(
      (await report(sidecar("a"), true, figures(40, { bad: 4 }))).state,
      "withdrawn",
      "10 % are not below 10 %",
    );
    await begin("errors<10%", {}, 61_000);
    const passed = await report(sidecar("a"), true, figures(40, { bad: 3 }));
    assert.deepEqual([passed.state, passed.step], ["running", 2]);
  });

  test("compares each service with itself, and only where enough came to both", async () => {
    await begin("denied<2x");
    // A service that denies a lot, whatever its policy.
    await report(sidecar("a", "admin"), false, figures(100, { denied: 60 }));
    await stepEnds();
    await report(sidecar("b", "admin"), true, figures(100, { denied: 60 }));
    assert.deepEqual(await redis.cli.hget("outrigger:canary-state", "step"), "2");
    await begin("denied<2x");
    await report(sidecar("a"), false, figures(100, { denied: 5 }));
    const { why } = await report(sidecar("b"), true, figures(100, { denied: 30 }));
    assert.equal(why, "shop: denied 30.00 %, allowed 10.00 % (30 of 100 requests)");
    await begin("denied<2x");
    await report(sidecar("a"), false, figures(5));
    await stepEnds();
    const few = await report(sidecar("b"), true, figures(100));
    assert.equal(few.why, "too few requests came to the policy before to compare with");
    await begin("errors<1%", {}, 61_000);
    assert.equal(
      (await report(sidecar("b"), true, figures(19))).why,
      "too few requests came to judge: 19 of 20",
    );
  });

  test("judges times by the baseline's, and not what a machine does by itself", async () => {
    await begin("p99<1.5x");
    await report(sidecar("a"), false, figures(300, { timeMs: 1 }));
    assert.equal((await report(sidecar("b"), true, figures(300, { timeMs: 2.5 }))).state, "running");
    await begin("p99<1.5x,p50<2s");
    await report(sidecar("a"), false, figures(300, { timeMs: 40 }));
    const { state, why } = await report(sidecar("b"), true, figures(300, { timeMs: 100 }));
    assert.equal(state, "withdrawn");
    const [, own, most] = /^shop: p99 (\S+) ms, allowed (\S+) ms$/.exec(why) ?? [];
    assert.ok(Math.abs(Number(own) - 100) < 10 && Math.abs(Number(most) - 60) < 6, why);
  });

  test("withdraws when the figures of one that tries it stop, not when one says goodbye", async () => {
    await begin("errors<50%", { silentMs: 300 });
    await report(sidecar("gone"), true, figures(5));
    const leaving = sidecar("left");
    await report(leaving, true, figures(5));
    await leaving.leave();
    const stays = sidecar("stays");
    let why = "";
    await eventually("it is missed", async () => {
      const answer = await report(stays, false, figures(1));
      why = answer.why;
      return answer.state === "withdrawn";
    });
    assert.match(why, /^no figures any more from shop\/gone for \d+ s$/);
  });

  test("goes on by the clock of a Redis that takes over, though it is a minute behind", async () => {
    const shift = async (name: string): Promise<void> =>
      void (await redis.cli.hincrby("outrigger:canary-state", name, 60_000));
    await begin("errors<50%", { silentMs: 300 });
    await report(sidecar("gone"), true, figures(5));
    for (const name of ["stepAt", "startedAt", "lastAt", "censusAt"]) await shift(name);
    const gone = JSON.parse((await redis.cli.hget("outrigger:canary-state", "i:shop/gone")) ?? "") as {
      at: number;
    };
    const later = JSON.stringify({ ...gone, at: gone.at + 60_000 });
    await redis.cli.hset("outrigger:canary-state", "i:shop/gone", later);
    let why = "";
    await eventually(
      "it is missed",
      async () => {
        const answer = await report(sidecar("stays"), false, none);
        why = answer.why;
        return answer.state === "withdrawn";
      },
      5_000,
    );
    assert.match(why, /^no figures any more from shop\/gone/);
    await begin("errors<50%", { forMs: 300 });
    const from = sidecar("a");
    await report(from, true, figures(30));
    for (const name of ["stepAt", "startedAt", "lastAt", "censusAt"]) await shift(name);
    const isOn = async () => (await report(from, true, figures(30))).step === 2;
    await eventually("the step ends", isOn, 5_000);
  });

  test("judges nothing by a state that no script made, however long it is", async () => {
    const long = "x".repeat(1_000_000);
    for (const [name, value] of [
      [
        "plan",
        JSON.stringify({
          steps: [10],
          guards: [],
          minRequests: 1,
          everyMs: 10,
          forMs: 60_000,
          silentMs: 60_000,
          long,
        }),
      ],
      ["why", long],
      [
        "i:shop/b",
        JSON.stringify({ at: Date.now(), seq: 1, boot: "b", side: "b", place: 1, starts: 0, step: 1, long }),
      ],
      ["s:c:shop", JSON.stringify({ 0: 1, [long]: 1 })],
    ] as const) {
      await begin("errors<50%", {}, 1_000);
      await redis.cli.hset("outrigger:canary-state", name, value);
      await assert.rejects(report(sidecar("b"), true, figures(1)), name);
    }
  });

  test("withdraws what a sidecar refuses, ends twice with, or what was changed under it", async () => {
    await begin("errors<50%");
    const answer = await sidecar("a").report({
      tries: false,
      candidate: none,
      baseline: none,
      refused: "no such plugin",
      moved: false,
    });
    assert.equal(answer.why, "shop/a cannot have it in force: no such plugin");
    await begin("errors<50%");
    for (const state of ["running", "running", "withdrawn"])
      assert.equal((await report(sidecar("a"), true, figures(1))).state, state);
    await begin("errors<50%");
    assert.equal(
      (
        await sidecar("a").report({
          tries: false,
          candidate: none,
          baseline: none,
          refused: undefined,
          moved: true,
        })
      ).state,
      "withdrawn",
    );
    id = crypto.randomUUID();
    assert.equal((await report(sidecar("a"), true, figures(1))).state, "none", "another canary");
  });

  describe("gives it to the share that is ordered", () => {
    const pace = { steps: [25], everyMs: 20, silentMs: 60_000 };
    const byPlace = (count: number) =>
      Array.from({ length: count }, (_, i) => sidecar(`n${i}`)).toSorted((a, b) => b.place - a.place);
    const cut = async () => Number((await redis.cli.hget("outrigger:canary-state", "cut")) ?? -1);
    const chosen = async (of: readonly CanaryReporter[]) => {
      const most = await cut();
      return of.filter(({ place }) => place <= most).length;
    };
    const later = (ms: number) => redis.cli.hincrby("outrigger:canary-state", "startedAt", -ms);

    test("and not to all because one alone had told of itself by then", async () => {
      await begin("errors<50%", { ...pace, everyMs: 1_000 });
      const [last, ...others] = byPlace(4);
      await report(last as CanaryReporter, false, none);
      // Those that have more to do than to tell of themselves.
      await later(3_000);
      for (const each of others) await report(each, false, none);
      await redis.cli.hset("outrigger:canary-state", "censusAt", 0);
      await report(last as CanaryReporter, false, none);
      assert.equal(await cut(), -1, "some have only now come");
      await redis.cli.hincrby("outrigger:canary-state", "newAt", -3_000);
      await redis.cli.hset("outrigger:canary-state", "censusAt", 0);
      await report(last as CanaryReporter, false, none);
      assert.equal(await chosen([last as CanaryReporter, ...others]), 1);
    });

    test("and never to more, though all who join have places below the others'", async () => {
      await begin("errors<50%", { ...pace, everyMs: 1_000 }, 10_000);
      const all = byPlace(44);
      const few = all.slice(0, 4);
      const told = (some: readonly CanaryReporter[]) =>
        Promise.all(some.map((each) => report(each, false, none)));
      const census = async () => {
        await redis.cli.hset("outrigger:canary-state", "censusAt", 0);
        await report(few[0] as CanaryReporter, false, none);
      };
      await told(few);
      await redis.cli.hincrby("outrigger:canary-state", "newAt", -10_000);
      await census();
      assert.equal(await chosen(few), 1);
      for (let at = 4; at < all.length; at += 2) {
        const joined = all.slice(0, at + 2);
        const [first] = await told(joined.slice(at));
        assert.equal(first?.cut, -1, "nobody tries it who is not counted yet");
        await census();
        assert.equal(await chosen(joined), Math.round(joined.length / 4), `of ${joined.length}`);
        await eventually("the newest is counted", async () => {
          await census(); // one in the same millisecond does not count it
          return (await report(joined.at(-1) as CanaryReporter, false, none)).cut === (await cut());
        });
      }
    });

    test("also of a fleet that grows", async () => {
      await begin("errors<50%", pace, 1_000);
      const [first, second, ...others] = byPlace(12);
      const few = [first, second] as CanaryReporter[];
      const told = (all: readonly CanaryReporter[]) =>
        Promise.all(all.map((each) => report(each, false, none)));
      await eventually("it is drawn", async () => {
        await told(few);
        return (await chosen(few)) === 1;
      });
      const all = [...few, ...others];
      await eventually("it is drawn anew", async () => {
        await told(all);
        return (await chosen(all)) === 3;
      });
    });
  });

  test("takes no counts that no sidecar counts", async () => {
    await begin("errors<50%");
    for (const deltas of ['{"c":{"0":-5}}', '{"c":{"0":1e999}}', '{"c":{"x":1}}', '{"c":{"9999":1}}']) {
      const args = [id, "shop/forger", "shop", "boot", "c", 1, 1, deltas, "", "", ""];
      await assert.rejects(store.run(reportCanary, ["canary-state"], args, 1_000), deltas);
    }
    assert.equal((await report(sidecar("a"), true, figures(5))).state, "running");
    assert.equal(await redis.cli.hexists("outrigger:canary-state", "i:shop/forger"), 0);
  });

  test("withdraws what refuses more than the policy before, where it is asked for", async () => {
    await begin("refused<2x");
    await report(sidecar("a"), false, figures(90, { refused: 10 }));
    assert.equal((await report(sidecar("b"), true, figures(90, { refused: 10 }))).state, "running");
    const { state, why } = await report(sidecar("c"), true, figures(0, { refused: 60 }));
    assert.equal(state, "withdrawn");
    assert.equal(why, "shop: refused 43.75 %, allowed 20.00 % (70 of 160 requests)");
    await begin("denied<2x,errors<2x");
    await report(sidecar("a"), false, figures(90, { refused: 10 }));
    assert.equal((await report(sidecar("b"), true, figures(0, { refused: 60 }))).state, "running");
  });

  test("takes no refusals for times, where the script of an older sidecar sums them up, too", async () => {
    await begin("p99<20ms");
    assert.equal((await report(sidecar("a"), true, figures(400, { refused: 400 }))).state, "running");
    const sum = (await redis.cli.hget("outrigger:canary-state", "s:c:shop")) ?? "";
    // Recorded: it takes whatever is not below 6 for the place of a time, up to 157.
    const places = Object.keys(JSON.parse(sum) as object).map(Number);
    assert.ok(places.includes(-1) && Math.max(...places) < 158, sum);
  });

  test("counts a report once, though its answer was lost", async () => {
    await begin("errors<50%");
    const from = sidecar("a");
    await report(from, true, figures(10));
    redis.freeze();
    await assert.rejects(report(from, true, figures(15)));
    redis.thaw();
    await eventually("it answers", () =>
      store.get("x", 1_000).then(
        () => true,
        () => false,
      ),
    );
    await report(from, true, figures(17));
    await report(from, true, figures(17));
    const sum = JSON.parse((await redis.cli.hget("outrigger:canary-state", "s:c:shop")) ?? "") as Record<
      string,
      number
    >;
    assert.equal(sum[figurePlaces.requests], 17);
  });
});

test("a call of gRPC counts by its own status, and what breaks off as an error", () => {
  const counted = (grpcStatus: number | undefined, end: "complete" | "failed" = "complete", status = 200) =>
    countedStatus({ status, end, grpcStatus });
  assert.deepEqual(
    [0, 2, 3, 5, 7, 8, 14, 16].map((grpcStatus) => counted(grpcStatus)),
    [200, 500, 400, 404, 403, 429, 503, 401],
  );
  assert.deepEqual(
    [counted(undefined), counted(0, "failed"), counted(undefined, "complete", 0)],
    [200, 502, 0],
  );
});

test("guards are read strictly, and told as they were written", () => {
  const text = "errors<1%,sidecar-errors<0.5%,p99<1.2x,p50<250ms,denied<2x,429<5%,refused<2x";
  assert.equal(guardsOf(text).map(guardText).join(","), text);
  for (const wrong of ["errors>1%", "p99<1%", "errors<5ms", "speed<2x", "errors<0%", "", "errors<1%,"])
    assert.equal(typeof parseGuards(wrong), "string", wrong);
});

test("figures are shown as they were counted", () => {
  const counts = new FigureCounts();
  // Left at once, and after a while.
  counts.count(0, false, undefined);
  counts.count(0, true, 8);
  for (const status of [200, 401, 403, 429]) counts.count(status, false, 8);
  counts.count(502, true, 8);
  counts.count(500, false, undefined);
  // The service's own is no refusal.
  for (const bySidecar of [true, false]) counts.count(404, bySidecar, 8);
  const read = counts.read();
  assert.equal(read.length, figuresLength);
  const { p50Ms, p99Ms, ...rest } = shownFigures(read);
  assert.deepEqual(rest, {
    requests: 9,
    sidecarErrors: 1,
    serviceErrors: 1,
    unauthorized: 1,
    forbidden: 1,
    rateLimited: 1,
    refused: 1,
  });
  assert.ok(p50Ms !== null && p99Ms !== null && Math.abs(p50Ms - 8) < 1 && Math.abs(p99Ms - 8.7) < 1);
});
