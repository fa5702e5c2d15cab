// Leased mode: the most that it admits in any order of events; that it asks Redis rarely; that it returns unused
// leases.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import * as fc from "fast-check";
import type { Caller, Lease } from "../../../plugins/rate-limit/caller.ts";
import { Leases, overshootBound, type LeaseSource } from "../../../plugins/rate-limit/counting/leases.ts";
import { Reservation, type Limit } from "../../../plugins/rate-limit/limit.ts";
import { RedisCounts } from "../../../plugins/rate-limit/counting/redis-counts.ts";
import type { RedisStore } from "../../../src/redis/store.ts";
import { reservationOf, connectStore, limitOf, TestClock } from "../../support/rate-limit.ts";
import { startRedis, type RedisServer } from "../../support/redis.ts";

let server: RedisServer;
let store: RedisStore;
const clock = new TestClock();

before(async () => {
  server = await startRedis();
  store = await connectStore(server.url, clock);
});
after(async () => {
  store.close();
  await server.close();
});

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** What happens to one call on its way: milliseconds there and back, and whether the answer is lost. */
interface Journey {
  readonly there: number;
  readonly back: number;
  readonly lost: boolean;
}

/** A network between sidecars and a real Redis: calls and answers take the time that the test says, on its clock. */
class Network {
  readonly #due: { at: number; run: () => Promise<void> | void }[] = [];
  readonly #journeys: readonly Journey[];
  readonly #counts = new RedisCounts(store, clock);
  calls = 0;

  constructor(journeys: readonly Journey[]) {
    this.#journeys = journeys;
  }

  sourceFor(limit: Limit): LeaseSource {
    const remote = reservationOf(limit).caller;
    return {
      take: (reservations) => this.#take(reservations[0] as Reservation, remote),
      giveBack: (_caller, lease) => this.#giveBack(remote, lease),
    };
  }

  async advance(ms: number): Promise<void> {
    const end = clock.mono() + ms;
    for (;;) {
      this.#due.sort((a, b) => a.at - b.at);
      const next = this.#due[0];
      if (next === undefined || next.at > end) break;
      this.#due.shift();
      clock.advance(next.at - clock.mono());
      await next.run();
      await turn();
    }
    clock.advance(end - clock.mono());
  }

  #take(reservation: Reservation, remote: Caller): Promise<number> {
    const journey = this.#journey();
    return new Promise((resolve, reject) => {
      this.#after(journey.there, async () => {
        const twin = new Reservation(reservation.limit, remote, reservation.least, reservation.most, true);
        const serverMs = await this.#counts.take([twin], 5000);
        this.#after(journey.back, () => {
          if (journey.lost) {
            reject(new Error("lost"));
            return;
          }
          const { granted, remaining, retryMs, resetMs } = twin;
          Object.assign(reservation, { granted, remaining, retryMs, resetMs });
          reservation.caller.remaining = remaining;
          resolve(serverMs);
        });
      });
    });
  }

  #giveBack(remote: Caller, lease: Lease): Promise<void> {
    const { there } = this.#journey();
    const { left, grantedAt } = lease;
    this.#after(there, () => this.#counts.giveBack(remote, { ...lease, left, grantedAt }));
    return Promise.resolve();
  }

  #journey(): Journey {
    this.calls += 1;
    return this.#journeys[this.calls % this.#journeys.length] as Journey;
  }

  #after(ms: number, run: () => Promise<void> | void): void {
    this.#due.push({ at: clock.mono() + ms, run });
  }
}

interface Sidecar {
  readonly leases: Leases;
  readonly limit: Limit;
  readonly caller: Caller;
}

/** Some sidecars that lease one caller's permits, and the moments at which they let requests through. */
class Sidecars {
  readonly admitted: number[] = [];
  readonly network: Network;
  readonly #each: Sidecar[];

  constructor(count: number, journeys: readonly Journey[], make: () => Limit) {
    this.network = new Network(journeys);
    this.#each = Array.from({ length: count }, () => {
      const limit = make();
      const leases = new Leases(this.network.sourceFor(limit), clock);
      return { leases, limit, caller: reservationOf(limit).caller };
    });
  }

  /** @param greed permits that the sidecar asks for beyond what it needs */
  request(sidecar: number, greed = 0): void {
    const { leases, limit, caller } = this.#each[sidecar % this.#each.length] as Sidecar;
    const use = (): boolean => {
      const taken = leases.take(caller, limit, 50) !== undefined;
      if (taken) this.admitted.push(clock.mono());
      return taken;
    };
    caller.awaited = greed;
    const insist = async (): Promise<void> => {
      for (let attempt = 0; attempt < 6 && !use(); attempt += 1) await leases.await(caller, limit, 50);
    };
    insist().catch(() => {});
  }

  sweep(sidecar: number): void {
    void this.#each[sidecar % this.#each.length]?.leases.sweep(sidecar % 5 === 0);
  }
}

const journeys = fc.array(
  fc.record({
    there: fc.oneof({ weight: 4, arbitrary: fc.nat(3) }, fc.nat(300)),
    back: fc.oneof({ weight: 4, arbitrary: fc.nat(3) }, fc.nat(300)),
    lost: fc.nat(9).map((face) => face === 0),
  }),
  {
    minLength: 3,
    maxLength: 12,
  },
);
/** Traffic comes in phases, so that permits are taken in haste, held through a pause, and used after it. */
interface Phase {
  readonly ticks: number;
  readonly tickMs: number;
  readonly requestsPerTick: number;
  /** One sidecar, or all of them in turn. */
  readonly sidecar: number | "all";
  readonly greed: number;
  readonly pauseMs: number;
  readonly sweep: boolean;
}

const schedule = fc.array(
  fc.record({
    ticks: fc.integer({ min: 1, max: 15 }),
    tickMs: fc.integer({ min: 1, max: 20 }),
    requestsPerTick: fc.nat(60),
    sidecar: fc.oneof(fc.constant("all" as const), fc.nat(9)),
    greed: fc.oneof(fc.constant(0), fc.nat(300)),
    pauseMs: fc.oneof(fc.constant(0), fc.nat(600), fc.nat(1600)),
    sweep: fc.boolean(),
  }),
  { minLength: 3, maxLength: 6, size: "max" },
);

async function play(sidecars: Sidecars, phases: readonly Phase[]): Promise<void> {
  let turnOf = 0;
  for (const { ticks, tickMs, requestsPerTick, sidecar, greed, pauseMs, sweep } of phases) {
    for (let tick = 0; tick < ticks; tick += 1) {
      for (let i = 0; i < requestsPerTick; i += 1) {
        sidecars.request(sidecar === "all" ? (turnOf += 1) : sidecar, greed);
      }
      await turn();
      await sidecars.network.advance(tickMs);
    }
    if (sweep) sidecars.sweep(turnOf);
    await sidecars.network.advance(pauseMs);
  }
  await sidecars.network.advance(5000);
}

const seconds = 1000;
let run = 0;

test("over any interval, leases let through at most the stated bound more than exact mode", async () => {
  const numbers = fc.record({
    limit: fc.integer({ min: 20, max: 500 }),
    burst: fc.integer({ min: 1, max: 500 }),
    sidecars: fc.integer({ min: 1, max: 6 }),
  });
  const property = fc.asyncProperty(numbers, journeys, schedule, async (chosen, trips, phases) => {
    const { limit, burst, sidecars } = chosen;
    const name = `gcra${(run += 1)}`;
    const make = (): Limit => limitOf({ name, limit, burst, window: "1s", mode: "leased" });
    const fleet = new Sidecars(sidecars, trips, make);
    await play(fleet, phases);
    const bound = overshootBound(make(), sidecars);
    // Admissions conform to burst + bound and the rate if and only if a bucket of that size never overflows.
    let level = 0;
    let since = 0;
    for (const at of fleet.admitted) {
      level = Math.max(0, level - ((at - since) * limit) / seconds) + 1;
      since = at;
      assert.ok(level <= burst + bound + 1e-6, `${level} over ${burst} + ${bound}`);
    }
  });
  await fc.assert(property, { numRuns: 30 });
});

test("permits that are used at the last moment reach the bound, and after that moment they are gone", async () => {
  for (const [pauseMs, least, most] of [
    [495, 1250, 1495],
    [1400, 800, 1000],
  ] as const) {
    const name = `late${pauseMs}`;
    const make = (): Limit => limitOf({ name, limit: 1000, window: "1s", mode: "leased" });
    const fleet = new Sidecars(3, [{ there: 0, back: 0, lost: false }], make);
    for (const sidecar of [0, 1]) {
      fleet.request(sidecar, 600);
      await turn();
      await fleet.network.advance(1);
    }
    await fleet.network.advance(pauseMs);
    const before = fleet.admitted.length;
    for (let i = 0; i < 6000; i += 1) fleet.request(i, 600);
    for (let i = 0; i < 20; i += 1) {
      await turn();
      await fleet.network.advance(0);
    }
    const late = fleet.admitted.length - before;
    assert.ok(late <= most && late >= least, `${late} after ${pauseMs} ms`);
  }
});

test("a quota that is leased is never exceeded in its calendar window", async () => {
  const numbers = fc.record({
    limit: fc.integer({ min: 5, max: 500 }),
    sidecars: fc.integer({ min: 1, max: 6 }),
  });
  const property = fc.asyncProperty(numbers, journeys, schedule, async (chosen, trips, phases) => {
    const { limit, sidecars } = chosen;
    const name = `fixed${(run += 1)}`;
    const make = (): Limit => limitOf({ name, limit, window: "2s", algorithm: "fixed", mode: "leased" });
    const fleet = new Sidecars(sidecars, trips, make);
    await play(fleet, phases);
    const offset = clock.now() - clock.mono();
    const windows = Map.groupBy(fleet.admitted, (at) => Math.floor((at + offset) / (2 * seconds)));
    for (const [window, { length }] of windows) assert.ok(length <= limit, `${length} in ${window}`);
  });
  await fc.assert(property, { numRuns: 30 });
});

const busy = (): Limit => limitOf({ name: "busy", limit: 5000, window: "1s", mode: "leased" });
const saturated = (): Limit =>
  limitOf({ name: "saturated", limit: 1000, burst: 100, window: "1s", mode: "leased" });

test("a busy caller under its limit is never refused and Redis is asked less than 20 times in 1000", async () => {
  const fleet = new Sidecars(2, [{ there: 1, back: 1, lost: false }], busy);
  let requests = 0;
  for (let ms = 0; ms < 3000; ms += 1) {
    for (let i = 0; i < 2; i += 1) fleet.request((requests += 1));
    await turn();
    await fleet.network.advance(1);
  }
  await fleet.network.advance(100);
  assert.equal(fleet.admitted.length, requests);
  const perThousand = (fleet.network.calls / requests) * 1000;
  assert.ok(perThousand < 20, `${perThousand} commands per 1000 requests`);
});

test("under twice the limit, the fleet admits nearly all that the limit allows", async () => {
  const fleet = new Sidecars(8, [{ there: 1, back: 1, lost: false }], saturated);
  let requests = 0;
  for (let ms = 0; ms < 2000; ms += 1) {
    for (let i = 0; i < 2; i += 1) fleet.request((requests += 1));
    await turn();
    await fleet.network.advance(1);
  }
  const most = 2000 + 100 + overshootBound(saturated(), 8);
  const { length } = fleet.admitted;
  assert.ok(length <= most && length >= 1800, `${length} of ${most}`);
});

test("an idle sidecar gives its permits back at once when asked to", async () => {
  const counts = new RedisCounts(store, clock);
  const limit = limitOf({ name: "idle", limit: 10_000, burst: 1000, window: "1s", mode: "leased" });
  const quota = limitOf({ name: "quota", limit: 2560, window: "1h", algorithm: "fixed", mode: "leased" });
  const leases = new Leases(counts, clock);
  for (const one of [limit, quota]) {
    const { caller } = reservationOf(one);
    caller.awaited = 9;
    await leases.await(caller, one, 1000);
    assert.ok(leases.take(caller, one, 1000) !== undefined);
    await leases.sweep(true);
    await turn();
    const probe = reservationOf(one);
    await counts.take([probe], 1000);
    const held = one.table.rule.capacity - probe.remaining - 1;
    assert.equal(held, 1, `${one.name}: only the permit that was used is gone`);
  }
});
