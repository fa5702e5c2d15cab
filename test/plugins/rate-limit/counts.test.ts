// The same behaviour in four places that count: in memory, in the primary of several workers, on a Redis server, on a
// Cluster.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import * as fc from "fast-check";
import { createCounts } from "../../../plugins/rate-limit/counting/primary-counts.ts";
import type { Reservation, Limit } from "../../../plugins/rate-limit/limit.ts";
import { MemoryCounts } from "../../../plugins/rate-limit/counting/memory-counts.ts";
import { createPrimaryStore } from "../../../plugins/rate-limit/counting/primary-store.ts";
import { RedisCounts } from "../../../plugins/rate-limit/counting/redis-counts.ts";
import { startCluster, startRedis } from "../../support/redis.ts";
import { reservationOf, connectStore, limitOf, TestClock } from "../../support/rate-limit.ts";

/** A place to count, on a clock of the test's. */
interface Permit {
  readonly clock: TestClock;
  take(reservations: readonly Reservation[]): Promise<void>;
  close(): Promise<void>;
}

const permits: Record<string, () => Promise<Permit>> = {
  "in memory": async () => {
    const clock = new TestClock();
    // Equal clocks make the windows of the smooth algorithms begin at the same moments as Redis'.
    clock.monoMs = clock.epochMs;
    const counts = new MemoryCounts(clock);
    return {
      clock,
      take: async (reservations) => void counts.take(reservations, ({ limit }) => limit.table.rule),
      close: async () => {},
    };
  },
  "in the primary": async () => {
    const clock = new TestClock();
    const answer = createCounts(clock);
    // As between two processes: nothing but plain data gets through.
    const store = createPrimaryStore({
      call: async (request) => structuredClone(answer(structuredClone(request))),
    });
    const counts = new RedisCounts(store, clock);
    return {
      clock,
      take: async (reservations) => void (await counts.take(reservations, 5000)),
      close: async () => {},
    };
  },
  "on Redis": async () => redisPlace(await startRedis()),
  "on a Cluster": async () => redisPlace(await startCluster()),
};

async function redisPlace(server: { url: string; close(): Promise<void> }): Promise<Permit> {
  const clock = new TestClock();
  const store = await connectStore(server.url, clock);
  const counts = new RedisCounts(store, clock);
  return {
    clock,
    take: async (reservations) => void (await counts.take(reservations, 5000)),
    async close() {
      store.close();
      await server.close();
    },
  };
}

let caller = 0;
/** A caller nobody has seen. */
const somebody = (): { address: string } => ({ address: `10.0.${(caller += 1) >> 8}.${caller & 255}` });

for (const [where, open] of Object.entries(permits)) {
  describe(`counting ${where}`, () => {
    let place: Permit;
    before(async () => {
      place = await open();
    });
    after(() => place.close());

    async function one(limit: Limit, who: { address: string }): Promise<Reservation> {
      const reservation = reservationOf(limit, who);
      await place.take([reservation]);
      return reservation;
    }
    async function admitted(limit: Limit, who: { address: string }, requests: number): Promise<number> {
      let count = 0;
      for (let i = 0; i < requests; i += 1) count += (await one(limit, who)).granted;
      return count;
    }

    for (const algorithm of ["gcra", "sliding", "fixed"] as const) {
      test(`${algorithm} admits the limit and not one more, and says when the next fits`, async () => {
        const limit = limitOf({ algorithm, limit: 5, window: "1m" });
        const who = somebody();
        assert.equal(await admitted(limit, who, 8), 5);
        const refused = await one(limit, who);
        assert.equal(refused.remaining, 0);
        assert.ok(refused.exceeded && refused.retryMs > 0);
        place.clock.advance(Math.ceil(refused.retryMs));
        assert.equal((await one(limit, who)).granted, 1, "admitted when it was told to come back");
      });

      test(`${algorithm} keeps callers apart`, async () => {
        const limit = limitOf({ algorithm, limit: 2 });
        const [a, b] = [somebody(), somebody()];
        assert.equal(await admitted(limit, a, 3), 2);
        assert.equal(await admitted(limit, b, 3), 2);
      });

      test(`${algorithm} refuses everything when the limit is 0`, async () => {
        const refused = await one(limitOf({ algorithm, limit: 0, window: "10s" }), somebody());
        assert.deepEqual([refused.granted, refused.remaining, refused.retryMs], [0, 0, 10_000]);
      });

      test(`${algorithm} takes the cost of a request, all of it or nothing`, async () => {
        const limit = limitOf({ algorithm, limit: 5, cost: 2 });
        const who = somebody();
        assert.equal(await admitted(limit, who, 4), 4);
        assert.equal((await one(limit, who)).remaining, 1);
      });

      test(`${algorithm} counts 20 simultaneous requests as that many`, async () => {
        const limit = limitOf({ algorithm, limit: 7 });
        const who = somebody();
        const reservations = Array.from({ length: 20 }, () => reservationOf(limit, who));
        await Promise.all(reservations.map((reservation) => place.take([reservation])));
        assert.equal(reservations.filter(({ granted }) => granted === 1).length, 7);
      });

      test(`${algorithm}: a wall clock that goes back gives no permit twice and locks nobody out`, async () => {
        const limit = limitOf({ algorithm, limit: 3, window: "1m" });
        const who = somebody();
        await admitted(limit, who, 3);
        const hourMs = 3_600_000;
        place.clock.jump(-hourMs);
        if (where === "in memory") place.clock.monoMs -= hourMs;
        const refused = await one(limit, who);
        assert.equal(refused.granted, 0);
        assert.ok(refused.retryMs <= 120_000, `${refused.retryMs}`);
        place.clock.advance(Math.ceil(refused.retryMs));
        assert.equal((await one(limit, who)).granted, 1);
        place.clock.advance(2 * hourMs);
      });
    }

    test("gcra gives back one permit at a time, and the burst bounds what gathers", async () => {
      const limit = limitOf({ limit: 60, window: "1m", burst: 3 });
      const who = somebody();
      assert.equal(await admitted(limit, who, 5), 3);
      place.clock.advance(2000);
      assert.equal(await admitted(limit, who, 5), 2);
      place.clock.advance(600_000);
      assert.equal(await admitted(limit, who, 5), 3);
    });

    test("gcra over any interval admits at most the burst and what came back meanwhile", async () => {
      const limit = limitOf({ limit: 10, window: "1s", burst: 4 });
      const who = somebody();
      let count = 0;
      for (let at = 0; at < 3000; at += 30) {
        count += (await one(limit, who)).granted;
        place.clock.advance(30);
      }
      assert.ok(count <= 4 + 30 && count >= 4 + 28, `${count}`);
    });

    test("sliding lets the window before fade out evenly", async () => {
      const limit = limitOf({ algorithm: "sliding", limit: 100, window: "1m" });
      const who = somebody();
      const intoWindow = place.clock.now() % 60_000;
      place.clock.advance(60_000 - intoWindow);
      assert.equal(await admitted(limit, who, 101), 100);
      place.clock.advance(60_000);
      assert.equal((await one(limit, who)).granted, 0, "the whole window before still counts");
      place.clock.advance(15_000);
      assert.equal(await admitted(limit, who, 40), 25, "a quarter of it has faded");
      place.clock.advance(120_000);
      assert.equal(await admitted(limit, who, 101), 100);
    });

    test("a month's quota begins anew with the calendar month, whatever its length", async () => {
      const limit = limitOf({ algorithm: "fixed", limit: 2, window: "1M" });
      const who = somebody();
      const start = place.clock.now();
      const move = (to: number): void => place.clock.advance(to - place.clock.now());
      for (const [year, month] of [
        [2027, 11],
        [2028, 0],
        [2028, 1],
        [2028, 2],
        [2028, 11],
        [2100, 1],
      ] as const) {
        move(Date.UTC(year, month, 1));
        assert.equal(await admitted(limit, who, 3), 2, `${year}-${month + 1} first millisecond`);
        move(Date.UTC(year, month + 1, 1) - 1);
        const refused = await one(limit, who);
        assert.deepEqual([refused.granted, refused.retryMs], [0, 1], `${year}-${month + 1} last millisecond`);
      }
      place.clock.advance(start - place.clock.now() + 40 * 365 * 86_400_000);
    });

    test("a day's quota begins anew at midnight UTC", async () => {
      const limit = limitOf({ algorithm: "fixed", limit: 1, window: "1d" });
      const who = somebody();
      assert.equal(await admitted(limit, who, 2), 1);
      const midnight = Math.ceil(place.clock.now() / 86_400_000) * 86_400_000;
      place.clock.advance(midnight - place.clock.now() - 1);
      assert.equal((await one(limit, who)).granted, 0);
      place.clock.advance(1);
      assert.equal((await one(limit, who)).granted, 1);
    });

    test("a request that one limit refuses takes nothing from the others", async () => {
      const wide = limitOf({ name: "wide", limit: 10 });
      const tight = limitOf({ name: "tight", limit: 1 });
      const route = limitOf({ name: "route", limit: 10, by: "route", window: `${1000 + (caller += 1)}s` });
      const who = somebody();
      const reservations = (): Reservation[] =>
        [wide, tight, route].map((limit) => reservationOf(limit, who));
      for (let i = 0; i < 4; i += 1) {
        const three = reservations();
        await place.take(three);
        assert.equal(
          three.every(({ granted }) => granted === 1),
          i === 0,
        );
      }
      assert.equal((await one(wide, who)).remaining, 8);
      assert.equal((await one(route, who)).remaining, 8);
    });

    test("a limit in a dry run counts and refuses nothing", async () => {
      const limit = limitOf({ limit: 1, dryRun: true });
      const other = limitOf({ name: "other", limit: 5 });
      const who = somebody();
      await one(limit, who);
      const reservations = [reservationOf(limit, who), reservationOf(other, who)] as const;
      await place.take(reservations);
      assert.ok(reservations[0].exceeded);
      assert.equal(reservations[1].granted, 1);
    });

    test("says what is left and when there will be more", async () => {
      const gcra = await one(limitOf({ limit: 60, window: "1m", burst: 10 }), somebody());
      assert.deepEqual([gcra.remaining, Math.round(gcra.resetMs)], [9, 1000]);
      const fixed = await one(limitOf({ algorithm: "fixed", limit: 5, window: "1h" }), somebody());
      assert.equal(fixed.remaining, 4);
      assert.equal(Math.ceil(fixed.resetMs), 3_600_000 - (place.clock.now() % 3_600_000));
    });

    test("decides any history as memory does", { timeout: 60_000 }, async () => {
      const steps = fc.array(
        fc.record({
          which: fc.nat(2),
          advance: fc.oneof(fc.constant(0), fc.nat(400), fc.nat(90_000)),
          requests: fc.integer({ min: 1, max: 4 }),
        }),
        { maxLength: 25 },
      );
      const rules = fc.record({
        limit: fc.integer({ min: 1, max: 12 }),
        burst: fc.integer({ min: 2, max: 9 }),
        cost: fc.integer({ min: 1, max: 2 }),
        window: fc.constantFrom("1s", "7s", "1m"),
      });
      await fc.assert(
        fc.asyncProperty(steps, rules, async (history, { limit, burst, cost, window }) => {
          const clock = new TestClock();
          clock.epochMs = place.clock.epochMs;
          clock.monoMs = clock.epochMs;
          const reference = new MemoryCounts(clock);
          const shared = { limit: limit + 1, window, cost };
          const limits = [
            limitOf({ ...shared, name: "a", burst }),
            limitOf({ ...shared, name: "b", algorithm: "sliding" }),
            limitOf({ ...shared, name: "c", algorithm: "fixed" }),
          ];
          const twins = [
            limitOf({ ...shared, name: "a", burst }),
            limitOf({ ...shared, name: "b", algorithm: "sliding" }),
            limitOf({ ...shared, name: "c", algorithm: "fixed" }),
          ];
          const who = somebody();
          for (const { which, advance, requests } of history) {
            clock.advance(advance);
            place.clock.advance(advance);
            if (where === "in memory") place.clock.monoMs = place.clock.epochMs;
            for (let i = 0; i < requests; i += 1) {
              const [ours, theirs] = [
                reservationOf(limits[which] as Limit, who),
                reservationOf(twins[which] as Limit, who),
              ];
              await place.take([ours]);
              reference.take([theirs], ({ limit: { table } }) => table.rule);
              assert.deepEqual(
                [ours.granted, ours.remaining, Math.ceil(ours.retryMs), Math.ceil(ours.resetMs)],
                [theirs.granted, theirs.remaining, Math.ceil(theirs.retryMs), Math.ceil(theirs.resetMs)],
              );
            }
          }
        }),
        { numRuns: 25 },
      );
    });
  });
}
