// Measures the CPU of a decision of the rate-limit plugin: memory, leased and exact, compared with
// rate-limiter-flexible if it is installed. All in one run with one Redis, so that the ratios are valid. `node
// test/bench/rate-limit.ts [checks]`
import { exit } from "node:process";
import { Leases } from "../../plugins/rate-limit/counting/leases.ts";
import { CallerTables, type Limit } from "../../plugins/rate-limit/limit.ts";
import { Limiter } from "../../plugins/rate-limit/limiter.ts";
import { MemoryCounts } from "../../plugins/rate-limit/counting/memory-counts.ts";
import { RedisCounts } from "../../plugins/rate-limit/counting/redis-counts.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import type { RedisStore } from "../../src/redis/store.ts";
import { exchangeOf } from "../support/exchange.ts";
import { connectStore, limitOf } from "../support/rate-limit.ts";
import { startRedis, type RedisServer } from "../support/redis.ts";

const checks = Number(process.argv[2] ?? 60_000);

interface Line {
  readonly what: string;
  readonly cpuUs: number;
  readonly p99Ms: number | undefined;
  readonly commandsPerThousand: number | undefined;
}

const redis = await startRedis();
const store = await connectStore(redis.url);
const lines: Line[] = [];
const callers = Array.from({ length: 256 }, (_, index) => exchangeOf({ address: `192.0.2.${index}` }));

for (const count of [1, 3]) {
  const limits = limitsOf(count, "auto");
  const memory = limiterOf(undefined);
  measureSync(`memory, ${count} limit(s)`, () => memory.check(callers[0] as (typeof callers)[0], limits));
  const leased = limiterOf(store);
  await measureLeased(leased, limitsOf(count, "leased"), `leased, ${count} limit(s)`);
}
for (const connections of [1, 32, 256]) {
  for (const count of [1, 3]) {
    const limits = limitsOf(count, "exact");
    const limiter = limiterOf(store);
    await measure(`exact, ${count} limit(s), ${connections} at once`, connections, async (i) => {
      await limiter.check(callers[i % connections] as (typeof callers)[0], limits);
    });
  }
  await measureOracle(redis, connections);
}
for (const { what, cpuUs, p99Ms, commandsPerThousand } of lines) {
  const further = [
    p99Ms === undefined ? "" : `p99 ${p99Ms.toFixed(2)} ms`,
    commandsPerThousand === undefined ? "" : `${commandsPerThousand.toFixed(1)} scripts per 1000`,
  ];
  console.log(`${what.padEnd(42)} ${cpuUs.toFixed(2).padStart(7)} µs CPU  ${further.join("  ")}`);
}
store.close();
await redis.close();
exit(0);

function limitsOf(count: number, mode: "auto" | "exact" | "leased"): Limit[] {
  const tables = new CallerTables("orders");
  return Array.from({ length: count }, (_, index) =>
    limitOf({ name: `${mode}${count}${index}`, limit: 1_000_000_000, window: "1s", mode }, tables),
  );
}

function limiterOf(shared: RedisStore | undefined): Limiter {
  const counts = shared && new RedisCounts(shared, systemClock);
  return new Limiter({
    clock: systemClock,
    memory: new MemoryCounts(systemClock),
    shared:
      shared === undefined || counts === undefined
        ? undefined
        : { store: shared, redis: counts, leases: new Leases(counts, systemClock) },
    sidecars: () => 1,
    onStoreError: "closed",
    storeTimeoutMs: 1000,
  });
}

function microseconds(before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before);
  return user + system;
}

function measureSync(what: string, check: () => unknown): void {
  for (let i = 0; i < 20_000; i += 1) check();
  const before = process.cpuUsage();
  for (let i = 0; i < checks * 5; i += 1) check();
  lines.push({
    what,
    cpuUs: microseconds(before) / (checks * 5),
    p99Ms: undefined,
    commandsPerThousand: undefined,
  });
}

/**
 * Measures CPU in batches, since leases are renewed between turns of the event loop; then commands at 1000 requests a
 * second.
 */
async function measureLeased(limiter: Limiter, limits: readonly Limit[], what: string): Promise<void> {
  const [caller] = callers as [(typeof callers)[0]];
  const turns = async (count: number, each: () => void): Promise<number> => {
    const before = process.cpuUsage();
    for (let i = 0; i < count; i += 1) {
      each();
      await new Promise((resolve) => setImmediate(resolve));
    }
    return microseconds(before);
  };
  const batch = (): void => {
    for (let i = 0; i < 1000; i += 1) void limiter.check(caller, limits);
  };
  await turns(50, batch);
  const count = checks / 100;
  const idleUs = await turns(count, () => {});
  const cpuUs = ((await turns(count, batch)) - idleUs) / (count * 1000);
  await new Promise((resolve) => setTimeout(resolve, 600));
  const before = await scriptCalls();
  const startedAt = performance.now();
  let sent = 0;
  while (sent < 2000) {
    for (; sent < performance.now() - startedAt; sent += 1) await limiter.check(caller, limits);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  const asked = (await scriptCalls()) - before;
  lines.push({ what, cpuUs, p99Ms: undefined, commandsPerThousand: (asked / sent) * 1000 });
}

async function measure(
  what: string,
  connections: number,
  check: (i: number) => Promise<void>,
): Promise<void> {
  const waits: number[] = [];
  let next = 0;
  const run = async (count: number): Promise<void> => {
    next = 0;
    const one = async (): Promise<void> => {
      for (let i = next++; i < count; i = next++) {
        const startedAt = performance.now();
        await check(i);
        waits.push(performance.now() - startedAt);
      }
    };
    await Promise.all(Array.from({ length: connections }, one));
  };
  await run(5000);
  waits.length = 0;
  const commands = await scriptCalls();
  const before = process.cpuUsage();
  await run(checks);
  const cpuUs = microseconds(before) / checks;
  const asked = (await scriptCalls()) - commands;
  waits.sort((a, b) => a - b);
  lines.push({
    what,
    cpuUs,
    p99Ms: waits[Math.floor(waits.length * 0.99)],
    commandsPerThousand: (asked / checks) * 1000,
  });
}

async function scriptCalls(): Promise<number> {
  const text = await redis.cli.info("commandstats");
  return Number(/cmdstat_evalsha:calls=(\d+)/.exec(text)?.[1] ?? 0);
}

interface Oracle {
  readonly RateLimiterRedis: new (options: object) => { consume(key: string): Promise<unknown> };
}

async function measureOracle(server: RedisServer, connections: number): Promise<void> {
  const name = "rate-limiter-flexible";
  let oracle: Oracle;
  try {
    oracle = (await import(process.env["OUTRIGGER_BENCH_ORACLE"] ?? name)) as Oracle;
  } catch {
    if (connections === 1) console.log(`${name} is not installed: left out`);
    return;
  }
  const limiter = new oracle.RateLimiterRedis({ storeClient: server.cli, points: 1e9, duration: 60 });
  await measure(`${name}, ${connections} at once`, connections, async (i) => {
    await limiter.consume(`192.0.2.${i % connections}`);
  });
}
