// Assembles parts of the rate-limit plugin by hand, with a Redis store whose server clock the test sets.
import type { z } from "zod";
import { compileLimit, CallerTables, Reservation, type Limit } from "../../plugins/rate-limit/limit.ts";
import { rateLimitOptions, type LimitOptions } from "../../plugins/rate-limit/options.ts";
import type { Clock, Script, Store } from "../../src/plugin-api/contract.ts";
import { parseRedisAddress } from "../../src/redis/address.ts";
import { createStore, type RedisStore } from "../../src/redis/store.ts";
import { createMetrics } from "../../src/telemetry/metrics.ts";
import { TestClock } from "../../src/testing/clock.ts";
import { exchangeOf, type ExchangeFacts } from "./exchange.ts";

/** Connects a store to a real Redis; with a clock, the server's TIME returns that clock's time. */
export async function connectStore(url: string, clock?: Clock): Promise<RedisStore> {
  const store = createStore({
    address: parseRedisAddress(url),
    keyPrefix: `test-${Math.random().toString(36).slice(2)}:`,
    connectionName: "outrigger-test",
  });
  if (!(await store.whenUp(10_000))) throw new Error("Redis did not come up");
  if (clock === undefined) return store;
  const timed = (script: Script): Script => {
    const now = clock.now();
    const time = `{ '${Math.floor(now / 1000)}', '${Math.round((now % 1000) * 1000)}' }`;
    return { ...script, lua: script.lua.replaceAll("redis.call('TIME')", time) };
  };
  const timedStore: Store = Object.create(store, {
    run: {
      value: (script: Script, ...rest: [readonly string[], readonly string[], number?]) =>
        store.run(timed(script), ...rest),
    },
    runAll: {
      value: (calls: Parameters<Store["runAll"]>[0], limitMs?: number) =>
        store.runAll(
          calls.map((call) => ({ ...call, script: timed(call.script) })),
          limitMs,
        ),
    },
  });
  return timedStore as RedisStore;
}

/** A limit with these options, all else by default. */
export function limitOf(
  facts: Partial<z.input<typeof rateLimitOptions>["limits"] extends (infer T)[] | undefined ? T : never> &
    object,
  tables = new CallerTables("orders"),
  leaseMs = 500,
): Limit {
  const full = { name: "test", by: "ip", limit: 10, window: "1m", ...facts };
  const parsed = rateLimitOptions.parse({ limits: [full] }).limits[0] as LimitOptions;
  return compileLimit(parsed, {
    service: "test",
    ipv6Prefix: 64,
    planOf: (exchange) => exchange.identity?.plan ?? "",
    tables,
    place: "/*",
    foldsCase: false,
    leaseMs,
    dryRun: false,
    metrics: createMetrics({ service: "test" }),
  });
}

/** One request's reservation on a limit. */
export function reservationOf(limit: Limit, who: ExchangeFacts = {}): Reservation {
  const caller = limit.table.of(exchangeOf(who), limit.partition);
  return new Reservation(limit, caller, limit.cost, limit.cost, limit.enforced);
}

export { TestClock };
