// `node test/bench/builtins.ts [--quick]`: what built-in plugins cost a request, hooks alone, and as a ratio to a hook that reads
// three fields and sets one. Medians of rounds in which the contenders take turns.
import { registry } from "../../plugins/index.ts";
import type { Exchange, Hooks } from "../../src/plugin-api/contract.ts";
import { setUpPlugin } from "../../src/testing/hooks.ts";
import { type ExchangeFacts, exchangeOf } from "../support/exchange.ts";
import { cpuModel } from "./machine.ts";

const quick = process.argv.includes("--quick");
const rounds = quick ? 5 : 15;
const calls = quick ? 2_000 : 20_000;

interface Contender {
  readonly name: string;
  readonly goalMicros?: number;
  readonly facts?: ExchangeFacts;
  readonly body?: Buffer;
  readonly hooks: Hooks;
}

const properties = Object.fromEntries(
  Array.from({ length: 20 }, (_, i) => [
    `field${i}`,
    [{ type: "string", maxLength: 100 }, { type: "integer", minimum: 0 }, { type: "boolean" }][i % 3],
  ]),
);
const values = Object.fromEntries(
  Array.from({ length: 20 }, (_, i) => [`field${i}`, ["x".repeat(95), i, true][i % 3]]),
);

async function contender(plugin: string, options: object, more: Partial<Contender> = {}): Promise<Contender> {
  const definition = registry.find(({ name }) => name === plugin);
  if (definition === undefined) throw new Error(`no plugin ${plugin}`);
  const { hooks } = await setUpPlugin(definition, { options });
  return { name: plugin, hooks, ...more };
}

const baseline: Contender = {
  name: "three fields read, one set",
  hooks: {
    onRequest({ request: { fields } }) {
      const seen = [fields.get("host"), fields.get("accept"), fields.get("user-agent")].join();
      fields.set("X-Seen", String(seen.length));
    },
  },
};

const json = ["Content-Type", "application/json", "Accept", "*/*", "User-Agent", "bench"];

async function contenders(): Promise<Contender[]> {
  return [
    baseline,
    await contender("ip-filter", { allow: ["10.0.0.0/8", "192.0.2.0/24"] }, { goalMicros: 1 }),
    await contender(
      "csrf",
      {},
      { goalMicros: 1, facts: { fields: [...json, "Origin", "https://api.example"] } },
    ),
    await contender(
      "validate",
      { schema: { type: "object", properties, additionalProperties: false } },
      { name: "validate, 1 KB, 20 fields", goalMicros: 15, body: Buffer.from(JSON.stringify(values)) },
    ),
  ];
}

function exchanges({ facts, body }: Contender): Exchange[] {
  return Array.from({ length: calls }, () => {
    const exchange = exchangeOf({ method: "POST", fields: json, ...facts });
    if (body === undefined) return exchange;
    const request = { ...exchange.request, hasBody: true };
    return Object.assign(Object.create(exchange) as Exchange, {
      request,
      readBody: () => Promise.resolve(body),
    });
  });
}

/** @returns µs of CPU a call */
async function measure(contender: Contender): Promise<number> {
  const all = exchanges(contender);
  const from = process.cpuUsage();
  for (const exchange of all) {
    const verdict = contender.hooks.onRequest?.(exchange);
    const settled = verdict instanceof Promise ? await verdict : verdict;
    if (settled !== undefined) throw new Error(`${contender.name} does not let it through`);
  }
  const { user, system } = process.cpuUsage(from);
  return (user + system) / calls;
}

const all = await contenders();
const costs = new Map<string, number[]>(all.map(({ name }) => [name, []]));
for (let round = 0; round <= rounds; round += 1) {
  for (const each of all) {
    const cost = await measure(each);
    // The first is for V8 to compile.
    if (round > 0) costs.get(each.name)?.push(cost);
  }
}
const median = (of: number[]): number => of.toSorted((a, b) => a - b)[of.length >> 1] ?? Number.NaN;
const base = median(costs.get(baseline.name) ?? []);
console.log(`${new Date().toISOString().slice(0, 10)}, ${cpuModel()}, Node ${process.versions.node}\n`);
console.log("| hooks | µs a request | ratio | goal |\n| --- | --- | --- | --- |");
for (const { name, goalMicros } of all) {
  const cost = median(costs.get(name) ?? []);
  const goal =
    goalMicros === undefined ? "" : `${goalMicros} µs: ${cost <= goalMicros ? "met" : "**missed**"}`;
  console.log(`| ${name} | ${cost.toFixed(2)} | ${(cost / base).toFixed(1)} | ${goal} |`);
}
process.exit(0);
