// Measures what keeping the last requests for `outrigger explain` costs a request, in CPU of this process: `node
// test/bench/explain.ts`. Eight plugins with three hooks each, ten changed fields, two facts: more than a usual policy
// has.
import type { Outcome } from "../../src/plugin-api/contract.ts";
import { RequestRing } from "../../src/telemetry/requests/ring.ts";
import { exchangeOf } from "../../src/testing/exchange.ts";

const goalMicros = 1;
const rounds = 15;
const requests = 20_000;
const plugins = ["logging", "ip-filter", "cors", "auth", "rate-limit", "validate", "cache", "transform"];
const outcome: Outcome = {
  status: 200,
  end: "complete",
  durationMs: 3.2,
  upstreamMs: 2.1,
  requestBytes: 0,
  responseBytes: 300,
  answeredBy: undefined,
  error: undefined,
};
const head = ["Host", "shop.test", "User-Agent", "Mozilla/5.0", "Accept", "*/*", "X-Api-Key", "k"];

/**
 * @param wholePerSecond how many requests of a second are kept whole; undefined = nothing is kept
 * @returns microseconds of CPU for one request: for what is kept, and for the other work of a round
 */
function round(wholePerSecond: number | undefined): number {
  const ring = new RequestRing({ wholePerSecond: wholePerSecond ?? 0 });
  const startedAt = process.cpuUsage();
  for (let i = 0; i < requests; i += 1) {
    const exchange = exchangeOf({ method: "GET", path: "/api/users/7", fields: head });
    const { fields } = exchange.request;
    if (wholePerSecond !== undefined) {
      exchange.record = ring.begin(plugins, "digest", 0);
      if (exchange.record.isWhole) fields.watcher = exchange;
    }
    for (const plugin of plugins) exchange.hookRan(plugin, "onRequest", i, "returned", true);
    fields.delete("x-api-key");
    for (let n = 0; n < 9; n += 1) fields.set("X-User-Id", "u1");
    exchange.explain("limit", "one", "of", 7, "left", 6);
    exchange.explain("key", 1_234_567, "keyedFor", "everybody");
    exchange.record?.asked(i);
    for (const plugin of plugins) exchange.hookRan(plugin, "onResponse", i, "returned", true);
    for (const plugin of plugins) exchange.hookRan(plugin, "onComplete", i, "returned", true);
    exchange.completed(outcome);
  }
  const { user, system } = process.cpuUsage(startedAt);
  return (user + system) / requests;
}

const lowest = (wholePerSecond?: number): number =>
  Math.min(...Array.from({ length: rounds }, () => round(wholePerSecond)));
const nothing = lowest();
const micros = lowest(requests) - nothing;
const verdict = micros <= goalMicros ? "met" : "missed";
console.log(`keeping a request: ${micros.toFixed(2)} µs (goal ${goalMicros}: ${verdict})`);
console.log(`one of too many a second that went well: ${(lowest(0) - nothing).toFixed(2)} µs`);
