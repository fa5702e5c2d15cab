// Measures what a plugin costs per request: it calls the hooks as the chain does and subtracts the cost of the same
// loop without hooks.
import { cpus } from "node:os";
import { getHeapStatistics } from "node:v8";
import type { Hooks } from "../../plugin-api/contract.ts";
import { exchangeOf, outcomeOf } from "../../testing/exchange.ts";
import { setUpPlugin } from "../../testing/hooks.ts";
import { responseOf } from "../../testing/responses.ts";
import type { Cost } from "../ask.ts";
import type { Example } from "./example.ts";
import type { LoadedPlugin } from "./loaded.ts";

const roundMs = 40;
const rounds = 9;
/** Requests between two reads of the clock. */
const batch = 50;

interface Measured {
  readonly micros: number;
  readonly bytes: number;
}

/** Rejects when a hook fails: the cost of a failing plugin means nothing. */
export async function costOf(
  { definition, extension, secrets }: LoadedPlugin,
  example: Example,
): Promise<Cost> {
  const { options } = example;
  await using plugin = await setUpPlugin(definition, { options, secrets });
  const run = runner(plugin.hooks, example);
  const idle = runner({}, example);
  const clock = extension.entry.runtime === "process" ? wallMicros : cpuMicros;
  const found: Measured[] = [];
  // The two alternate, so that a machine that is busy for a while slows both. The first round warms up.
  for (let round = 0; round <= rounds; round++) {
    const [without, within] = [await measured(idle, clock), await measured(run, clock)];
    if (round === 0) continue;
    found.push({ micros: within.micros - without.micros, bytes: within.bytes - without.bytes });
  }
  return {
    micros: rounded(median(found.map(({ micros }) => micros)), 100),
    bytes: rounded(median(found.map(({ bytes }) => bytes)), 1),
    measuredWith: machineText(extension.entry.runtime),
  };
}

/** Sends one request through the hooks. A hook that returns plainly is not awaited. */
function runner(hooks: Hooks, { request: { method, path, headers } }: Example): () => Promise<void> {
  const fields = Object.entries(headers).flat();
  return async () => {
    const exchange = exchangeOf({ method, path, fields });
    const asked = hooks.onRequest?.(exchange);
    const verdict = isPromise(asked) ? await asked : asked;
    if (verdict !== undefined && verdict.action === "reject") throw verdict.error;
    const answered = hooks.onResponse?.(exchange, responseOf());
    if (isPromise(answered)) await answered;
    hooks.onComplete?.(exchange, outcomeOf());
  };
}

const isPromise = <T>(value: T | Promise<T>): value is Promise<T> => value instanceof Promise;

async function measured(run: () => Promise<void>, clock: () => number): Promise<Measured> {
  const [fromMono, fromMicros, fromBytes] = [performance.now(), clock(), allocatedBytes()];
  let requests = 0;
  while (performance.now() - fromMono < roundMs) {
    for (let n = 0; n < batch; n++) await run();
    requests += batch;
  }
  return { micros: (clock() - fromMicros) / requests, bytes: (allocatedBytes() - fromBytes) / requests };
}

const allocatedBytes = (): number => getHeapStatistics().total_allocated_bytes;

/** CPU time of this process, so that a busy machine does not make the plugin look slow. */
function cpuMicros(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}
/** Wall-clock time. For a plugin in a process of its own, only the wait of a request can be measured here. */
const wallMicros = (): number => performance.now() * 1_000;

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

/** Clamps at zero: noise can make a tiny cost negative. */
const rounded = (value: number, parts: number): number => Math.max(0, Math.round(value * parts) / parts);

function machineText(runtime: string): string {
  const model = cpus()[0]?.model ?? process.arch;
  return `${runtime}, Node ${process.versions.node}, ${model}`.replaceAll(/\s+/g, " ").slice(0, 200);
}
