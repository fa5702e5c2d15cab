// Measures what a shadow costs: CPU of a sidecar per request, without a shadow, and with one that looks at 10 % and at
// all requests, in turn within one run.
// node test/bench/shadow.ts [requests]
import http from "node:http";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { createSidecar } from "../../src/app/embedded.ts";
import { startService } from "../support/crew.ts";
import { outrigger } from "../support/process.ts";
import { eventually, startRedis } from "../support/redis.ts";

const requests = Number(process.argv[2] ?? 4_000);
/** Rounds after one for warm-up. */
const rounds = 4;
const policy = {
  apiVersion: "outrigger/v1",
  plugins: ["ip-filter", "cors", "transform", "security-headers"],
  pluginConfig: { transform: { addHeaders: { "x-engine": "old" } } },
};
const candidate = { ...policy, pluginConfig: { transform: { addHeaders: { "x-engine": "new" } } } };

const folder = mkdtempSync(join(tmpdir(), "outrigger-shadow-bench-"));
const redis = await startRedis();
const env = { REDIS_URL: redis.url, OUTRIGGER_AUTHOR: "bench" };
const file = join(folder, "candidate.json");
writeFileSync(file, JSON.stringify(candidate));
await redis.cli.set("outrigger:policy", JSON.stringify(policy));
const upstream = await startService((_request, response) => void response.end("ok"));
// The shadow is never too busy: the cost of a comparison is measured, not when it is left out.
const sidecar = await createSidecar(
  { upstream: upstream.url, env: { ...env, OUTRIGGER_SERVICE: "orders" } },
  { utilization: () => 0 },
);
const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });

async function ask(): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  http
    .get(`${sidecar.url}/orders/1`, { agent }, (answer) => void answer.resume().once("end", resolve))
    .once("error", reject);
  await promise;
}

/** CPU of client, sidecar and service together, in microseconds per request. */
async function cost(): Promise<number> {
  const before = process.threadCpuUsage();
  for (let i = 0; i < requests; i += 8) await Promise.all(Array.from({ length: 8 }, ask));
  // Waits for comparisons that are still queued.
  await wait(50);
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / requests;
}

const isRunning = async (): Promise<boolean> =>
  ((await (await fetch(`${sidecar.adminUrl}/policy`)).json()) as { canary: object | null }).canary !== null;
async function run(...args: string[]): Promise<void> {
  const { code, stderr } = await outrigger(args, env);
  if (code !== 0) throw new Error(stderr);
}

const costs = new Map<string, number[]>([
  ["none", []],
  ["10%", []],
  ["100%", []],
]);
for (let round = 0; round <= rounds; round += 1) {
  for (const [sample, seen] of costs) {
    if (sample !== "none") {
      await run("policy", "apply", file, "--shadow", "--sample", sample);
      await eventually("it runs", isRunning);
    }
    const found = await cost();
    if (round > 0) seen.push(found);
    if (sample !== "none") {
      await run("policy", "abort");
      await eventually("it is over", async () => !(await isRunning()));
    }
  }
}
/** Other work on the machine only adds to a figure. */
const least = (all: readonly number[]): number => Math.min(...all);
const without = least(costs.get("none") ?? []);
for (const [sample, seen] of costs)
  process.stdout.write(
    `${sample.padEnd(5)} ${least(seen).toFixed(0).padStart(4)} µs a request${sample === "none" ? ", with client and service in the same thread" : `: ${(least(seen) - without).toFixed(1)} µs more`}\n`,
  );
agent.destroy();
await sidecar.stop();
upstream.close();
await redis.close();
rmSync(folder, { recursive: true });
