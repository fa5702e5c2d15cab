// `node test/bench/soak.ts [--minutes N]`: runs a sidecar with every plugin, on a real Redis, under mixed traffic with
// aborts, failures, upgrades and a policy change every three seconds. Prints resident memory, the live heap after a
// collection, descriptors and resources every ten seconds. Exit code 1 if one of them grows, if a request hangs, or if
// anything is left at the end.
import { createHash } from "node:crypto";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startRedis } from "../support/redis.ts";
import { openLiveHeap } from "./live-heap.ts";
import { findSample, median, type Sample } from "./metrics-text.ts";
import { pause, rssMiB, start } from "./processes.ts";
import { startLoad } from "./soak-load.ts";
import { grows, trendOf } from "./trend.ts";

const { values } = parseArgs({ options: { minutes: { type: "string", default: "5" } } });
const minutes = Number(values.minutes);
const windowMs = 10_000;
/** Time in which caches fill, code is optimised and the heap finds its size. */
const warmUpMs = Math.max(40_000, minutes * 60_000 * 0.3);
const lines: string[] = [];

/** Watched resources, and by how much each may grow in a minute. */
const watched = [
  { name: "rss MiB", limit: 3 },
  { name: "live MiB", limit: 0.75 },
  { name: "external MiB", limit: 1.5 },
  { name: "descriptors", limit: 3 },
  { name: "resources", limit: 3 },
] as const;

function policy(turn: number): string {
  const api = { plugins: ["logging", "cors", "auth", "rate-limit", "cache", "transform"] };
  return JSON.stringify({
    apiVersion: "outrigger/v1",
    plugins: ["logging", "cors", "transform"],
    pluginConfig: {
      cors: { origins: ["https://app.example"], maxAgeSeconds: turn % 7 },
      "rate-limit": {
        // The service is late on purpose, and shed requests would not be soaked.
        overload: { enabled: false },
        limits: [
          { name: "caller", by: "subject", limit: 1_000_000 + (turn % 5), window: "1m", mode: "leased" },
          { name: "address", by: "ip", limit: 1_000_000, window: "1m", mode: "exact" },
        ],
      },
      cache: { ttlSeconds: 1 + (turn % 3) },
      transform: { addHeaders: { "X-Turn": String(turn) } },
    },
    routes: [
      { path: "/api/*", timeout: 400, ...api },
      { path: "/api/get-only", methods: ["GET"], ...api },
      { path: "/open/*", timeout: 400 },
      { path: "/dead", upstream: "http://127.0.0.1:1", ...api },
      ...Array.from({ length: turn % 10 }, (_, i) => ({ path: `/turn/${turn}/${i}`, ...api })),
    ],
  });
}

async function sample(admin: string): Promise<Sample> {
  return findSample(await (await fetch(`${admin}/metrics`)).text());
}

/** For resources that come and go between two collections, the minimum of the window counts. */
function valuesOf(samples: readonly Sample[], rss: number, live: number): number[] {
  const external = Math.min(...samples.map((each) => each.externalMiB));
  return [rss, live, external, median(samples, "descriptors"), median(samples, "resources")];
}

function row(nodes: readonly (string | number)[]): void {
  const text = nodes.map((node) => (typeof node === "number" ? node.toFixed(1) : node).padStart(13)).join("");
  process.stdout.write(`${text}\n`);
}

async function soak(): Promise<string[]> {
  const faults: string[] = [];
  const redis = await startRedis();
  const key = "a-key-for-the-soak";
  const record = `outrigger:apikey:${createHash("sha256").update(key).digest("hex")}`;
  await redis.cli.set(record, JSON.stringify({ id: "k1", userId: "u1", plan: "pro", scopes: ["read"] }));
  await redis.cli.set("outrigger:policy", policy(0));
  const service = start(process.execPath, [join(import.meta.dirname, "soak-service.ts")], {
    cores: undefined,
  });
  const [, servicePort] = await service.said(/port (\d+)/u);
  const sidecar = start(process.execPath, ["--inspect=127.0.0.1:0", "src/main.ts", "run"], {
    cores: undefined,
    env: {
      OUTRIGGER_LISTEN: "127.0.0.1:0",
      OUTRIGGER_ADMIN: "127.0.0.1:0",
      OUTRIGGER_UPSTREAM: `http://127.0.0.1:${servicePort}`,
      OUTRIGGER_CLIENT_STALL_MS: "1000",
      REDIS_URL: redis.url,
    },
  });
  const [, port, adminPort] = await sidecar.said(
    /"address":"127\.0\.0\.1:(\d+)","admin":"127\.0\.0\.1:(\d+)"/u,
  );
  const admin = `http://127.0.0.1:${adminPort}`;
  const [heapUrl] = await sidecar.said(/ws:\/\/127\.\S+/u);
  const heap = await openLiveHeap(heapUrl);
  const before = { ...(await sample(admin)), liveMiB: await heap.mebibytes() };
  const load = startLoad(Number(port), key);
  const changes = setInterval(() => void redis.cli.set("outrigger:policy", policy((turn += 1))), 3_000);
  let turn = 0;
  const series: number[][] = [];
  const began = performance.now();
  row(["seconds", ...watched.map(({ name }) => name), "requests", "in flight"]);
  while (performance.now() - began < minutes * 60_000) {
    const samples: Sample[] = [];
    const until = performance.now() + windowMs;
    while (performance.now() < until) {
      await pause(500);
      samples.push(await sample(admin));
    }
    const elapsedMs = performance.now() - began;
    const last = samples.at(-1) as Sample;
    const found = valuesOf(samples, rssMiB(sidecar.pid), await heap.mebibytes());
    row([String(Math.round(elapsedMs / 1_000)), ...found, String(last.requests), String(last.active)]);
    if (elapsedMs > warmUpMs) series.push([elapsedMs / 60_000, ...found]);
  }
  clearInterval(changes);
  await load.stop();
  for (const what of [...load.counts.keys()].toSorted()) {
    lines.push(`${String(load.counts.get(what)).padStart(8)}  ${what}`);
  }
  if ([...load.counts.keys()].some((what) => what.endsWith("HUNG"))) faults.push("requests hung");
  watched.forEach(({ name, limit }, index) => {
    const trend = trendOf(series.map((each) => [each[0] as number, each[index + 1] as number]));
    lines.push(`${name}: ${trend.slope.toFixed(2)} ± ${trend.error.toFixed(2)} a minute (limit ${limit})`);
    if (grows(trend, limit)) faults.push(`${name} grows`);
  });
  // Memory of the last requests is released meanwhile.
  await pause(2_000);
  const after = { ...(await sample(admin)), liveMiB: await heap.mebibytes() };
  heap.close();
  lines.push(`before, after: ${JSON.stringify([before, after])}`);
  if (after.active + after.queued > 0) faults.push("exchanges with the upstream are left");
  if (after.faults > 0) faults.push("faults that nobody caught");
  sidecar.interrupt();
  await sidecar.end.catch((error: unknown) => faults.push(`the sidecar did not end well: ${String(error)}`));
  await service.stop();
  await redis.close();
  return faults;
}

const faults = await soak();
process.stdout.write(`\n${lines.join("\n")}\n\n${faults.length === 0 ? "flat" : faults.join("\n")}\n`);
process.exitCode = faults.length === 0 ? 0 : 1;
