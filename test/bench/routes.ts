// Measures how the cost of a request depends on the number of routes, all of them in use: from its head to its log
// line, without sockets, whose cost hides the difference. `node test/bench/routes.ts [rounds] [plugins,
// comma-separated]`
import { pluginsByName, registry } from "../../src/app/registry.ts";
import { ServerExchange } from "../../src/exchange/exchange.ts";
import { parseRequestHead } from "../../src/http1/request-head.ts";
import { contextOf, testClient } from "../../src/policy-tests/context.ts";
import { MemoryStream } from "../../src/policy-tests/memory-stream.ts";
import { stubbed, StubUpstream } from "../../src/policy-tests/stub-upstream.ts";
import { createPolicyReader } from "../../src/policy/read.ts";
import { compilePolicy } from "../../src/routing/compile-policy.ts";
import { createRequestCounters } from "../../src/routing/request-counters.ts";
import type { RoutedPolicy } from "../../src/routing/routed-policy.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { createMetrics } from "../../src/telemetry/metrics.ts";
import { hostWith } from "../support/plugin-host.ts";
import { pathStep } from "./requests.ts";

const rounds = Number(process.argv[2] ?? 12);
const plugins = (process.argv[3] ?? "logging").split(",");
/** Requests of one round, for each number of routes. */
const requests = 10_000;
const numbers = [1, 1_000, 5_000];

const read = await createPolicyReader({
  plugins: pluginsByName,
  service: "bench",
  upstreamAllow: [],
  keys: undefined,
  maxBytes: 1_048_576,
});

async function policyWith(count: number): Promise<RoutedPolicy> {
  const path = (index: number): string => (count === 1 ? "/items/*" : `/items/${index}`);
  const document = {
    apiVersion: "outrigger/v1",
    plugins,
    routes: Array.from({ length: count }, (_, index) => ({ path: path(index) })),
  };
  const shared = Buffer.from(JSON.stringify(document));
  const policy = await read({ shared, layer: undefined, format: "json" });
  const service = new StubUpstream({
    status: 200,
    fields: ["Content-Type", "application/json"],
    body: Buffer.alloc(300, "x"),
  });
  return compilePolicy(policy, {
    ...stubbed(service),
    host: hostWith(registry),
    counters: createRequestCounters(createMetrics({ service: "bench" })),
    upstream: { tls: false, host: "127.0.0.1", port: 3_000, socketPath: undefined, name: "127.0.0.1:3000" },
    upstreamTls: undefined,
    timeoutMs: 10_000,
    fieldRules: { requestTrailers: "none", keepOverrides: [] },
  });
}

const fields = ["Host", "api.example", "Accept", "application/json", "User-Agent", "bench/1.0"];

/**
 * Sends requests to all routes, consecutive ones far apart, 32 at a time.
 * @returns CPU per request in µs
 */
async function microseconds(policy: RoutedPolicy, count: number): Promise<number> {
  const before = process.cpuUsage();
  let asked = 0;
  await new Promise<void>((resolve) => {
    let ended = 0;
    const ask = (): void => {
      asked += 1;
      const target = `/items/${(asked * pathStep) % (count === 1 ? 5_000 : count)}`;
      const stream = new MemoryStream({ method: "GET", target, fields });
      const head = parseRequestHead(stream, policy.isOwnedOrForwarded, {
        cookies: undefined,
        keepsUnderscores: false,
      });
      new ServerExchange(context, policy, policy.take(head), { stream, head, client: testClient }).run();
    };
    const context = contextOf(
      systemClock,
      () => {
        ended += 1;
        if (ended === requests) resolve();
        else if (asked < requests) setImmediate(ask);
      },
      undefined,
    );
    for (let i = 0; i < 32; i += 1) ask();
  });
  const { user, system } = process.cpuUsage(before);
  return (user + system) / requests;
}

const policies = await Promise.all(numbers.map(policyWith));
const figures = numbers.map((): number[] => []);
for (let round = -2; round < rounds; round += 1) {
  for (let turn = 0; turn < numbers.length; turn += 1) {
    const at = (turn + round + 2) % numbers.length;
    const us = await microseconds(policies[at] as RoutedPolicy, numbers[at] as number);
    if (round >= 0) figures[at]?.push(us);
  }
}
const quartile = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 4)] ?? Number.NaN;
const [least = Number.NaN] = figures.map(quartile);
console.log(`plugins: ${plugins.join(", ")}; ${rounds} rounds of ${requests} requests, lower quartile`);
for (const [at, values] of figures.entries()) {
  const us = quartile(values);
  console.log(
    `${String(numbers[at]).padStart(5)} routes: ${us.toFixed(2)} µs a request, ${(us / least).toFixed(2)}x, ${(us - least).toFixed(2)} µs more`,
  );
}
process.exit(0);
