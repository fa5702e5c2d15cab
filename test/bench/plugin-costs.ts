// Measures the CPU of a request in each runtime: hooks are called as the chain calls them, on exchanges made
// beforehand.
import { readdirSync, readFileSync } from "node:fs";
import type { Exchange, ExchangeResponse, Hooks } from "../../src/plugin-api/contract.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import {
  exchangeOf,
  outcomeOf,
  responseOf,
  setUpPlugin,
  type SetUpPlugin,
} from "../../src/testing/testing.ts";
import { type Contender, hookContenders, streamContenders } from "./plugin-contenders.ts";

export interface BenchSize {
  readonly rounds: number;
  readonly calls: number;
  readonly swaps: number;
  readonly seconds: number;
}

interface Running {
  readonly contender: Contender;
  readonly plugin: SetUpPlugin;
  readonly costs: number[];
}

/** Fields of a typical browser request. */
const fields = [
  ["accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"],
  ["user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"],
  ["accept-language", "en-GB,en;q=0.9"],
  ["accept-encoding", "gzip, br"],
  ["x-tenant", "acme"],
  ["x-request-id", "0190b6b6-7d3c-7b7e-8c2e-1d2f3a4b5c6d"],
].flat();

const onePerRound = 1_000;
/** Calls after which V8 has compiled everything, including what runs next to the guest. */
const warmUpCalls = 15_000;

export async function hookCosts(size: BenchSize): Promise<Map<string, number>> {
  const round: Round = async ({ hooks }, exchanges, atOnce) => {
    for (let i = 0; i < exchanges.length; i += atOnce) {
      const waiting = [];
      for (const exchange of exchanges.slice(i, i + atOnce)) {
        const verdict = hooks.onRequest?.(exchange);
        if (verdict instanceof Promise) waiting.push(verdict);
      }
      if (waiting.length > 0) await Promise.all(waiting);
    }
  };
  return costsOf(hookContenders, size, { round, ends: false });
}

export async function streamCosts(size: BenchSize): Promise<Map<string, number>> {
  const round: Round = async ({ hooks }, exchanges, atOnce) => {
    for (let i = 0; i < exchanges.length; i += atOnce) {
      const waiting = exchanges
        .slice(i, i + atOnce)
        .map((exchange) => stream(hooks, exchange, responseOf(200, answer)));
      const late = waiting.filter((each) => each instanceof Promise);
      if (late.length > 0) await Promise.all(late);
      // The ends of streams are reported later, and count too.
      if (i % 64 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return costsOf(streamContenders, size, { round, ends: true });
}

const answer = ["content-type", "text/html", "content-length", "5", "cache-control", "no-cache"];
const outcome = outcomeOf();

function stream(hooks: Hooks, exchange: Exchange, response: ExchangeResponse): Promise<void> | undefined {
  const verdict = hooks.onRequest?.(exchange);
  if (verdict instanceof Promise) {
    return verdict.then(async () => {
      await hooks.onResponse?.(exchange, response);
      hooks.onComplete?.(exchange, outcome);
    });
  }
  const ended = hooks.onResponse?.(exchange, response);
  if (ended instanceof Promise) return ended.then(() => hooks.onComplete?.(exchange, outcome));
  hooks.onComplete?.(exchange, outcome);
  return undefined;
}

type Round = (plugin: SetUpPlugin, exchanges: readonly Exchange[], atOnce: number) => Promise<void>;
interface Measured {
  readonly round: Round;
  /** Whether the round also reports the exchanges' ends. */
  readonly ends: boolean;
}

async function costsOf(
  contenders: readonly Contender[],
  { rounds, calls }: BenchSize,
  measured: Measured,
): Promise<Map<string, number>> {
  const running: Running[] = [];
  for (const contender of contenders) {
    try {
      const plugin = await setUpPlugin(await contender.make(), { clock: systemClock });
      running.push({ contender, plugin, costs: [] });
    } catch (error) {
      console.log(`${contender.name}: left out: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  for (const { contender, plugin } of running) {
    await costOf(plugin, contender.atOnce, Math.max(warmUpCalls, calls), measured);
  }
  for (let i = 0; i < rounds; i += 1) {
    for (const { contender, plugin, costs } of running) {
      costs.push(await costOf(plugin, contender.atOnce, calls, measured));
    }
  }
  for (const { plugin } of running) await plugin[Symbol.asyncDispose]();
  return new Map(running.map(({ contender, costs }) => [contender.name, median(costs)]));
}

/** @returns microseconds of CPU per call */
async function costOf(
  plugin: SetUpPlugin,
  atOnce: number,
  calls: number,
  { round, ends }: Measured,
): Promise<number> {
  let total = 0;
  for (let done = 0; done < calls; done += onePerRound) {
    const exchanges = Array.from({ length: onePerRound }, (_, index) =>
      exchangeOf({ id: String(done + index), path: "/things/7", query: "?full=1", fields }),
    );
    const before = cpuMicros();
    await round(plugin, exchanges, atOnce);
    total += cpuMicros() - before;
    if (!ends) for (const exchange of exchanges) plugin.hooks.onComplete?.(exchange, outcome);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return total / calls;
}

/** CPU of this process and its children, in µs. */
function cpuMicros(): number {
  const { user, system } = process.cpuUsage();
  return user + system + childMicros();
}

export function children(): string[] {
  return readFileSync(`/proc/self/task/${process.pid}/children`, "utf8").split(" ").filter(Boolean);
}

function childMicros(): number {
  let micros = 0;
  for (const pid of children()) {
    try {
      // CPU of each thread; precise, unlike the ticks of `stat`.
      for (const thread of readdirSync(`/proc/${pid}/task`)) {
        const text = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8");
        micros += Number(text.split(" ")[0]) / 1_000;
      }
    } catch {
      // The process has ended.
    }
  }
  return micros;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}
