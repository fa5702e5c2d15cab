// Limits across three regions with a Redis each: how many requests all admit together, whatever happens to clocks,
// links and relays; and that the whole limit can be used in any region.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import * as fc from "fast-check";
import { RedisCounts } from "../../../plugins/rate-limit/counting/redis-counts.ts";
import { RegionWants } from "../../../plugins/rate-limit/counting/region-wants.ts";
import { CallerTables, type Limit, type Reservation } from "../../../plugins/rate-limit/limit.ts";
import { leaseKey, lentKey, wantsKey, wantText } from "../../../src/language/region-quota.ts";
import {
  leaseAfter,
  leaseText,
  parseLease,
  parseLent,
  type QuotaLease,
} from "../../../src/plane/relay/quota-lease.ts";
import { giveUp, lend, look, place, takeBack } from "../../../src/plane/relay/quota-scripts.ts";
import { QuotaWants } from "../../../src/plane/relay/quota-wants.ts";
import { QuotaLeases } from "../../../src/plane/relay/quota-leases.ts";
import type { Store } from "../../../src/plugin-api/store.ts";
import type { RedisStore } from "../../../src/redis/store.ts";
import { connectStore, limitOf, reservationOf, TestClock } from "../../support/rate-limit.ts";
import { type RedisServer, startRedis } from "../../support/redis.ts";

const names = ["eu", "us", "ap"] as const;
type Name = (typeof names)[number];
const minute = 60_000;
const isLong = process.env["OUTRIGGER_TEST_LONG"] === "1";
const servers: RedisServer[] = [];
const clocks = { eu: new TestClock(), us: new TestClock(), ap: new TestClock() };
const stores: Record<Name, RedisStore> = {} as never;

before(async () => {
  servers.push(...(await Promise.all(names.map(() => startRedis()))));
  for (const [index, name] of names.entries())
    stores[name] = await connectStore((servers[index] as RedisServer).url, clocks[name]);
});
after(async () => {
  for (const name of names) stores[name].close();
  await Promise.all(servers.map((server) => server.close()));
});

const quota = 100;
const share = 0.1;
const facts = {
  algorithm: "fixed",
  limit: quota,
  window: "1m",
  mode: "exact",
  regions: { home: "eu", names: [...names] as string[], share },
} satisfies Parameters<typeof limitOf>[0];

/** What relays send: it arrives, now or later than what others send, is lost, or arrives and the answer is lost. */
class Link {
  fate: (to: Name) => "arrives" | "late" | "lost" | "unheard" = () => "arrives";

  to(name: Name): Store {
    const runAll: Store["runAll"] = async (calls) => {
      const fate = this.fate(name);
      if (fate === "lost") throw new Error("the link is cut");
      if (fate === "late") await new Promise((resolve) => setTimeout(resolve, 3));
      const outcomes = await stores[name].runAll(calls);
      if (fate === "unheard") throw new Error("the link was cut");
      return outcomes;
    };
    return Object.create(stores[name], { runAll: { value: runAll } }) as Store;
  }
}

class Region {
  readonly limit: Limit;
  readonly admitted = new Map<number, number>();
  readonly problems: (string | undefined)[] = [];
  readonly leases: QuotaLeases[];
  leased = 0;
  everLeased = 0;
  readonly #counts: RedisCounts;
  readonly #name: Name;
  #told: Promise<unknown> = Promise.resolve();

  constructor(name: Name, link: Link, more: object = {}) {
    this.#name = name;
    this.limit = limitOf({ ...facts, ...more }, new CallerTables("orders", name));
    const runAll: Store["runAll"] = (calls, limitMs) => {
      const sent = stores[name].runAll(calls, limitMs);
      this.#told = sent.catch(() => {});
      return sent;
    };
    this.#counts = new RedisCounts(stores[name], clocks[name], new RegionWants({ runAll }, clocks[name], 1));
    const make = (): QuotaLeases =>
      new QuotaLeases({
        source: link.to("eu"),
        target: link.to(name),
        region: name,
        home: "eu",
        onLeased: (permits) => {
          this.leased += permits;
          this.everLeased += permits;
        },
        onReturned: (permits) => (this.leased -= permits),
        onProblem: (problem) => this.problems.push(problem),
        idleMs: 0,
      });
    this.leases = [make(), make()];
  }

  async ask(requests: number): Promise<number> {
    let admitted = 0;
    clocks[this.#name].advance(1);
    const one = async (): Promise<void> => {
      const reservation: Reservation = reservationOf(this.limit);
      reservation.caller.wantedAt = -Infinity;
      const serverMs = await this.#counts.take([reservation], 5_000);
      const window = Math.floor(serverMs / minute);
      this.admitted.set(window, (this.admitted.get(window) ?? 0) + reservation.granted);
      admitted += reservation.granted;
    };
    await Promise.all(Array.from({ length: requests }, one));
    return admitted;
  }

  /** Sidecars' wants have arrived, and relays have looked. */
  async relay(which: readonly number[] = [0]): Promise<void> {
    // Behind the timer of what was noted last.
    await new Promise((resolve) => setTimeout(resolve, 2));
    await this.#told;
    await this.round(which);
  }

  async round(which: readonly number[] = [0]): Promise<void> {
    await Promise.all(
      this.leases.filter((_leases, at) => which.includes(at)).map((leases) => leases.round()),
    );
  }
}

async function empty(): Promise<void> {
  await Promise.all(servers.map(({ cli }) => cli.flushall()));
  // Relays look for the services that there are.
  const { us, ap } = stores;
  const seen = { name: "seen", lua: "return redis.call('ZADD', KEYS[1], 1, 'orders')" };
  await Promise.all([us, ap].map((store) => store.run(seen, ["fleet:seen"], [])));
}
const regionsOf = (link: Link, more: object = {}): Record<Name, Region> => ({
  eu: new Region("eu", link, more),
  us: new Region("us", link, more),
  ap: new Region("ap", link, more),
});
const total = (regions: Record<Name, Region>): number[] => {
  const sums = new Map<number, number>();
  for (const { admitted } of Object.values(regions))
    for (const [window, count] of admitted) sums.set(window, (sums.get(window) ?? 0) + count);
  return [...sums.values()];
};

test("the whole quota can be used up in one region, and not a permit more in all of them", async () => {
  await empty();
  const regions = regionsOf(new Link());
  assert.equal(await regions.us.ask(15), 10, "its share, before anything is leased");
  for (let round = 0; round < 12; round += 1) {
    await regions.us.relay();
    await regions.us.ask(20);
  }
  assert.equal(total(regions)[0], 80, "all but the shares of the others");
  assert.equal(await regions.eu.ask(50), 10);
  assert.equal(await regions.ap.ask(50), 10);
  assert.deepEqual(total(regions), [100]);
  const left = reservationOf(regions.us.limit);
  await new RedisCounts(stores.us, clocks.us).take([left], 5_000);
  assert.ok(
    left.retryMs > 1_000,
    `the pool is known to be empty: the wait is the window's, not ${left.retryMs}`,
  );
});

test("a region that is cut off keeps what it has leased, and its share; what is idle goes back once it can", async () => {
  await empty();
  const link = new Link();
  const regions = regionsOf(link);
  await regions.us.ask(9);
  await regions.us.relay();
  const held = regions.us.leased;
  assert.ok(held >= 7, `${held}`);
  link.fate = () => "lost";
  assert.equal(await regions.us.ask(60), held + 1, "the lease, and the last of the share");
  await regions.us.relay();
  assert.match(regions.us.problems.at(-1) ?? "", /the link is cut/);
  assert.equal(await regions.eu.ask(200), 90 - held - 10, "all but what is lent, and the other shares");
  for (const clock of Object.values(clocks)) clock.advance(minute);
  assert.equal(await regions.us.ask(60), 10, "the next window begins with the share");
  link.fate = () => "arrives";
  await regions.us.relay();
  assert.equal(regions.us.problems.at(-1), undefined);
  assert.ok((await regions.us.ask(1)) > 0);
  for (let round = 0; round < 3; round += 1) await regions.us.round();
  assert.equal(await regions.eu.ask(200), 100 - 2 * 10 - 11, "given back but for what was used");
});

test("answers that do not arrive, time and again, keep nothing of the pool from the home region for good", async () => {
  await empty();
  const link = new Link();
  const regions = regionsOf(link);
  await regions.us.ask(3);
  await regions.us.relay();
  for (let round = 0; round < 8; round += 1) {
    await regions.us.ask(1);
    await regions.ap.ask(1);
    link.fate = (to) => (to === "eu" && round < 6 ? "unheard" : "arrives");
    await regions.us.relay();
    await regions.ap.relay();
  }
  for (let round = 0; round < 4; round += 1) await Promise.all([regions.us.round(), regions.ap.round()]);
  const used = total(regions)[0] ?? 0;
  assert.equal(used, 19);
  assert.equal(await regions.eu.ask(200), 100 - 2 * 10 - used, "all but the other shares and what was used");
  assert.deepEqual([await regions.us.ask(40), await regions.ap.ask(40)], [10, 10]);
  assert.deepEqual(total(regions), [100]);
  for (const clock of Object.values(clocks)) clock.advance(minute);
});

test("a region whose Redis was set back to before it gave something up uses no more of it, and is lent anew", async () => {
  await empty();
  const regions = regionsOf(new Link());
  await regions.us.ask(9);
  await regions.us.relay();
  const [key = ""] = await servers[1]!.cli.keys("*:lease");
  const before = await servers[1]!.cli.get(key);
  for (let round = 0; round < 3; round += 1) await regions.us.round();
  const given = await regions.eu.ask(100);
  assert.equal(given, 100 - 2 * 10 - 9, "all but what was used, and the other shares");
  await servers[1]!.cli.set(key, before ?? "", "KEEPTTL");
  await regions.us.ask(1);
  await regions.us.relay();
  await regions.us.ask(40);
  assert.equal(total(regions)[0], 90, "all but the share of the third");
  for (const clock of Object.values(clocks)) clock.advance(minute);
});

test("many short windows of many regions can be lent of, and none that is a window ahead", async () => {
  await empty();
  const clock = clocks.eu;
  const ask = async (region: string, startMs: number): Promise<number> => {
    const args = [region, startMs, startMs + 1_000, 0, -1, 3, 10, 70];
    const [seq = 0, , total = 0] = (await stores.eu.run(lend, ["{k}", lentKey("{k}")], args)) as number[];
    return seq < 0 ? seq : total;
  };
  for (let second = 0; second < 70; second += 1) {
    const startMs = Math.floor(clock.now() / 1_000) * 1_000;
    for (let region = 0; region < 15; region += 1)
      assert.equal(await ask(`region-of-a-longer-name-${region}`, startMs), 3, `second ${second}`);
    for (const each of Object.values(clocks)) each.advance(1_000);
  }
  assert.equal(await ask("us", Math.floor(clock.now() / 1_000) * 1_000 + 2_000), -1);
});

test("whoever wants more is looked at, however many have before", async () => {
  await empty();
  const add = {
    name: "add",
    lua: "for i = 3, #ARGV do redis.call('ZADD', KEYS[1], ARGV[1], ARGV[i]) end return redis.call('ZADD', KEYS[2], 1, ARGV[2])",
  };
  const want = { home: "eu", startMs: 0, endMs: minute, share: 10, pool: 70, ahead: 6 };
  const wants = new QuotaWants(stores.us, "eu");
  const callers = (service: string, count: number): string[] =>
    Array.from({ length: count }, (_, i) =>
      wantText(`rl:${service}:{${"a".repeat(22)}}:day:${"b".repeat(8)}:${String(i).padStart(22, "c")}`, want),
    );
  for (let at = 0; at < 6; at += 1) {
    const [service, count] = [`s${at}`, at < 5 ? 2_000 : 10];
    await stores.us.run(
      add,
      [wantsKey(service), "fleet:seen"],
      [1_000 + at, service, ...callers(service, count)],
    );
    await wants.findLists();
    assert.equal((await wants.read()).length, count, service);
    assert.equal((await wants.read()).length, 0, service);
  }
  assert.equal(wants.all.length, 10_000);
  assert.equal(wants.all.filter(({ list }) => list === wantsKey("s5")).length, 10);
});

test("whatever clocks, links and relays do, all regions together let through no more than the quota in a window", async () => {
  const name = fc.constantFrom(...names);
  const away = fc.constantFrom("us" as const, "ap" as const);
  const step = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({ do: fc.constant("ask" as const), name, count: fc.integer({ min: 1, max: 30 }) }),
    },
    {
      weight: 4,
      arbitrary: fc.record({ do: fc.constant("relay" as const), name: away, both: fc.boolean() }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constant("both" as const),
        name: away,
        count: fc.integer({ min: 1, max: 10 }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constant("wait" as const),
        name,
        ms: fc.integer({ min: 0, max: minute }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("restart" as const), name: away }) },
  );
  const fates = fc.infiniteStream(
    fc.oneof(
      { weight: 4, arbitrary: fc.constant("arrives" as const) },
      { weight: 2, arbitrary: fc.constant("late" as const) },
      { weight: 1, arbitrary: fc.constant("lost" as const) },
      { weight: 1, arbitrary: fc.constant("unheard" as const) },
    ),
  );
  let runs = 0;
  let leased = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 30 }), fates, async (steps, fate) => {
      await empty();
      const link = new Link();
      const regions = regionsOf(link);
      runs += 1;
      // In every other schedule something is lent for sure.
      if (runs % 2 === 1) {
        await regions.us.ask(9);
        await regions.us.relay();
      }
      link.fate = () => fate.next().value as "arrives";
      for (const one of steps) {
        const region = regions[one.name];
        if (one.do === "ask") await region.ask(one.count);
        else if (one.do === "relay") await region.relay(one.both ? [0, 1] : [0]);
        else if (one.do === "wait") clocks[one.name].advance(one.ms);
        else if (one.do === "restart") region.leases.reverse();
        else await Promise.all([region.ask(one.count), region.round([0, 1]), regions.eu.ask(one.count)]);
      }
      // What each of them holds in the end is all used.
      for (const name of names) await regions[name].ask(Math.ceil(quota / 4));
      for (const name of names) await regions[name].ask(quota);
      leased += regions.us.everLeased + regions.ap.everLeased;
      for (const sum of total(regions)) assert.ok(sum <= quota, `${sum}`);
    }),
    { numRuns: isLong ? 150 : 10, endOnFailure: true },
  );
  assert.ok(leased > 0, "nothing was ever lent");
});

/** One relay of a region, step by step: what it has read may be out of date by the time that it acts on it. */
class Steps {
  text = "";
  used = 0;
  lease: QuotaLease | undefined;
  next: { readonly of: string; readonly lease: QuotaLease } | undefined;
  back: readonly [seq: number, permits: number] | undefined;
  static readonly want = { home: "eu", startMs: 0, endMs: 60_000, share: 10, pool: 70, ahead: 6 };

  async look(): Promise<void> {
    const reply = await stores.us.run(look, ["{k}", leaseKey("{k}")], [0, 60_000]);
    [, this.used, this.text] = reply as [number, number, string];
    this.lease = parseLease(this.text, 0);
  }
  async lend(more: number): Promise<void> {
    const { lease } = this;
    const held = lease === undefined ? -1 : lease.permits + lease.lost;
    const args = ["us", 0, 60_000, lease?.seq ?? 0, held, more, 10, 70];
    const lent = parseLent(await stores.eu.run(lend, ["{k}", lentKey("{k}")], args));
    assert.ok(lent);
    const next = lent.seq < 0 ? undefined : leaseAfter(lease, Steps.want, more, lent);
    this.next = typeof next === "object" ? { of: this.text, lease: next } : undefined;
  }
  async place(): Promise<void> {
    if (this.next === undefined) return;
    await stores.us.run(place, [leaseKey("{k}")], [this.next.of, leaseText(this.next.lease), 60_000, 4_000]);
    this.next = undefined;
  }
  async giveUp(): Promise<void> {
    const { lease } = this;
    if (lease === undefined) return;
    const kept = Number(await stores.us.run(giveUp, ["{k}", leaseKey("{k}")], [this.text, 0]));
    if (kept >= 0) this.back = [lease.seq + 1, kept + lease.lost];
  }
  async takeBack(): Promise<void> {
    if (this.back === undefined) return;
    await stores.eu.run(takeBack, [lentKey("{k}")], ["us", 0, ...this.back]);
    this.back = undefined;
  }
}

test("two relays of a region, whose steps come in any order, never let it use more than the home region has lent it", async () => {
  for (const clock of Object.values(clocks)) clock.epochMs = 0;
  const use = { name: "use", lua: "return redis.call('SET', KEYS[1], ARGV[1] .. ' 0 0')" };
  const step = fc.record({
    do: fc.constantFrom(
      "look",
      "look",
      "lend",
      "lend",
      "place",
      "place",
      "giveUp",
      "takeBack",
      "use",
      "home",
    ),
    relay: fc.nat({ max: 1 }),
    count: fc.nat({ max: 30 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 60 }), async (steps) => {
      await Promise.all(servers.map(({ cli }) => cli.flushall()));
      const relays = [new Steps(), new Steps()] as const;
      let [home, used] = [0, 0];
      for (const { do: what, relay, count } of steps) {
        const one = relays[relay] as Steps;
        const lines = (await stores.eu.get(lentKey("{k}"))) ?? "";
        const lent = Number(lines.split(" ").at(-1) ?? 0);
        const lease = parseLease((await stores.us.get(leaseKey("{k}"))) ?? "", 0);
        const permits = lease?.permits ?? 0;
        if (what === "use") {
          used = Math.max(used, Math.min(10 + permits, used + count));
          await stores.us.run(use, ["{k}"], [used]);
        } else if (what === "home") {
          home = Math.max(home, Math.min(count * 3, 80 - lent));
          await stores.eu.run(use, ["{k}"], [home]);
        } else if (what === "lend") await one.lend(count);
        else await one[what]();
        const after = Number(((await stores.eu.get(lentKey("{k}"))) ?? "").split(" ").at(-1) ?? 0);
        const held = parseLease((await stores.us.get(leaseKey("{k}"))) ?? "", 0);
        const all = (held?.permits ?? 0) + (held?.lost ?? 0);
        assert.ok(all <= after, `${all} permits held, lent ${after}`);
        assert.ok(after + Math.max(0, home - 10) <= 70, `lent ${after}, used at home ${home}`);
      }
    }),
    { numRuns: isLong ? 800 : 20 },
  );
});
