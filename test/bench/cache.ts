// What the cache costs and saves: CPU of a hit beside others that answer from memory, of a miss over a bare forward,
// latency of a hit out of Redis, and a Zipf load on a slow service. `node test/bench/cache.ts`
import { writeFileSync } from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import packageFile from "../../package.json" with { type: "json" };
import { freePort } from "../support/redis.ts";
import { type RunningSidecar, type Scene, startSidecar } from "./contenders.ts";
import { type LoadTools, runLoad } from "./load.ts";
import { divideCores, findProgram } from "./machine.ts";
import { createCallers, policyOf } from "./policies.ts";
import { cpuMs, folder, pause, start } from "./processes.ts";
import type { Traffic } from "./requests.ts";

interface Contender {
  readonly name: string;
  readonly port: number;
  readonly pid: number;
  stop(): Promise<void>;
}

const rounds = 5;
const seconds = 1.5;
const median = (list: number[]): number =>
  list.sort((a, b) => a - b)[Math.floor(list.length / 2)] ?? Number.NaN;
const row = (name: string, value: string): void => console.log(`${name.padEnd(62)} ${value}`);

/** A policy with these plugins, in the form that `startSidecar` takes. */
function policy(
  plugins: readonly string[],
  cache: Readonly<Record<string, unknown>> = {},
  needsRedis = false,
) {
  const pluginConfig = plugins.includes("cache") ? { cache: { redis: needsRedis, ...cache } } : {};
  return { document: { apiVersion: "outrigger/v1", plugins, pluginConfig }, needsRedis };
}

async function sidecar(
  name: string,
  settings: Parameters<typeof startSidecar>[0],
  scene: Scene,
): Promise<Contender> {
  const running: RunningSidecar = await startSidecar(settings, scene);
  return { name, port: running.port, pid: running.pid, stop: () => running.stop() };
}

async function answering(bytes: number, { cores }: Scene): Promise<Contender> {
  const program = `const body = Buffer.alloc(${bytes}, "x");
    require("node:http").createServer((_q, r) => r.writeHead(200, { "Content-Length": body.length }).end(body))
      .listen(0, "127.0.0.1", function () { console.log("port " + this.address().port) })`;
  const started = start(process.execPath, ["-e", program], { cores: cores.contender });
  const [, port] = await started.said(/port (\d+)/u);
  return {
    name: "node:http answering itself",
    port: Number(port),
    pid: started.pid,
    stop: () => started.stop(),
  };
}

async function nginx(scene: Scene): Promise<Contender | undefined> {
  const program = findProgram("nginx");
  if (program === undefined) return undefined;
  const port = await freePort();
  const file = join(folder, `nginx-cache-${port}.conf`);
  const user = process.getuid?.() === 0 ? "user root;" : "";
  writeFileSync(
    file,
    `daemon off; worker_processes 1; pid ${folder}/nginx-cache.pid; ${user}
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 1000000000; sendfile on; tcp_nopush on; open_file_cache max=10000;
  proxy_cache_path ${folder}/nginx-cache keys_zone=c:10m max_size=64m;
  proxy_temp_path ${folder}; client_body_temp_path ${folder};
  upstream service { server 127.0.0.1:${scene.upstreamPort}; keepalive 128; }
  server { listen 127.0.0.1:${port} backlog=4096;
    location / { proxy_pass http://service; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_cache c; } }
}
`,
  );
  const started = start(program, ["-p", folder, "-e", "stderr", "-c", file], {
    cores: scene.cores.contender,
  });
  await pause(500);
  return { name: "nginx proxy_cache", port, pid: started.pid, stop: () => started.stop() };
}

async function varnish(scene: Scene): Promise<Contender | undefined> {
  const program = findProgram("varnishd");
  if (program === undefined) return undefined;
  const port = await freePort();
  const listen = ["-a", `127.0.0.1:${port}`, "-b", `127.0.0.1:${scene.upstreamPort}`];
  const args = ["-F", "-n", join(folder, "varnish"), "-s", "malloc,64m", ...listen];
  const started = start(program, args, { cores: scene.cores.contender });
  await pause(2_000);
  return { name: "varnish", port, pid: started.pid, stop: () => started.stop() };
}

/** Median CPU per request of each, in turn, in rounds. */
async function cpu(
  contenders: readonly Contender[],
  traffic: Traffic,
  tools: LoadTools,
): Promise<Map<string, number>> {
  const seen = new Map<string, number[]>(contenders.map(({ name }) => [name, []]));
  try {
    for (const { port } of contenders) await runLoad(traffic, port, 3, tools);
    for (let round = 0; round < rounds; round += 1) {
      for (const { name, port, pid } of contenders) {
        const before = cpuMs(pid);
        const { requests, failures, failure } = await runLoad(traffic, port, seconds, tools);
        if (failures > 0) throw new Error(`${name}: ${failures} failures: ${failure}`);
        await pause(30);
        seen.get(name)?.push(((cpuMs(pid) - before) * 1000) / requests);
      }
    }
  } finally {
    await Promise.all(contenders.map((contender) => contender.stop()));
  }
  return new Map([...seen].map(([name, values]) => [name, median(values)]));
}

async function hits(scene: Scene, tools: LoadTools): Promise<void> {
  for (const bytes of [1_024, 65_536]) {
    const own = await answering(bytes, scene);
    const { tokens } = scene.callers;
    const all = [
      own,
      await sidecar("outrigger: cache alone", policy(["cache"]), scene),
      await sidecar("outrigger: full chain", policyOf("full chain", scene.callers), scene),
      await nginx(scene),
      await varnish(scene),
    ].filter((one) => one !== undefined);
    const traffic: Traffic = { kind: "closed", connections: 32, path: `/cacheable?size=${bytes}`, tokens };
    const figures = await cpu(all, traffic, tools);
    const base = figures.get(own.name) ?? Number.NaN;
    for (const [name, us] of figures)
      row(`memory hit, ${bytes} B, ${name}`, `${us.toFixed(1)} µs  ${(us / base).toFixed(2)}x`);
  }
}

async function misses(scene: Scene, tools: LoadTools): Promise<void> {
  const contenders = [
    await sidecar("bare forward", policy([]), scene),
    await sidecar("forward through the cache", policy(["cache"]), scene),
  ];
  const traffic: Traffic = { kind: "closed", connections: 32, path: "/cacheable", everyUrlNew: true };
  const figures = await cpu(contenders, traffic, tools);
  for (const [name, us] of figures) row(`miss, 300 B, ${name}`, `${us.toFixed(1)} µs`);
  const added = (figures.get("forward through the cache") ?? 0) - (figures.get("bare forward") ?? 0);
  row("miss, added by the cache", `${added.toFixed(1)} µs`);
}

async function redisHits(scene: Scene, tools: LoadTools): Promise<void> {
  // No memory tier: every hit comes out of Redis.
  const one = await sidecar("redis", policy(["cache"], { memoryBytes: 0, redisWaitMs: 100 }, true), scene);
  try {
    const traffic: Traffic = { kind: "closed", connections: 8, path: "/cacheable?size=1024" };
    await runLoad(traffic, one.port, 2, tools);
    const paced = await runLoad({ ...traffic, kind: "open", rate: 300, connections: 0 }, one.port, 5, tools);
    row(
      "hit out of Redis, 1 KiB, 300 requests a second",
      `p50 ${paced.p50Ms?.toFixed(2)} ms, p99 ${paced.p99Ms?.toFixed(2)} ms`,
    );
    const before = cpuMs(one.pid);
    const { requests } = await runLoad(traffic, one.port, 3, tools);
    row("hit out of Redis, 1 KiB, CPU", `${(((cpuMs(one.pid) - before) * 1000) / requests).toFixed(1)} µs`);
  } finally {
    await one.stop();
  }
}

/** 10,000 URLs of weight 1/rank at 200 requests a second on a service that takes 200 ms. */
async function zipf(scene: Scene): Promise<void> {
  let asked = 0;
  const service = http.createServer((_request, response) => {
    asked += 1;
    setTimeout(() => response.writeHead(200, { "Cache-Control": "max-age=600" }).end("x".repeat(2_000)), 200);
  });
  await new Promise<void>((resolve) => service.listen(0, "127.0.0.1", resolve));
  const slow: Scene = { ...scene, upstreamPort: (service.address() as AddressInfo).port };
  const draw = zipfSeries(10_000);
  const targets = Array.from({ length: 6_000 }, () => `/item/${draw()}`);
  for (const plugins of [[], ["cache"]]) {
    const one = await sidecar("zipf", policy(plugins), slow);
    asked = 0;
    const times = await openLoad(one.port, targets, 5);
    times.sort((a, b) => a - b);
    const at = (share: number): string => (times[Math.floor(times.length * share)] ?? Number.NaN).toFixed(1);
    const saved = `${((1 - asked / targets.length) * 100).toFixed(1)} % of upstream requests saved`;
    row(
      `Zipf, 10,000 URLs, service of 200 ms, ${plugins.length === 0 ? "no cache" : "cache"}`,
      `${saved}, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`,
    );
    await one.stop();
  }
  service.closeAllConnections();
  service.close();
}

/** One request every so many milliseconds, whatever the answers do. @returns times to the last byte */
async function openLoad(port: number, targets: readonly string[], everyMs: number): Promise<number[]> {
  const agent = new http.Agent({ keepAlive: true });
  const began = performance.now();
  const times = await Promise.all(
    targets.map(async (path, index) => {
      await pause(began + index * everyMs - performance.now());
      const sent = performance.now();
      return new Promise<number>((resolve, reject) => {
        http
          .get({ host: "127.0.0.1", port, path, agent }, (answer) => {
            answer.resume().once("end", () => resolve(performance.now() - sent));
          })
          .on("error", reject);
      });
    }),
  );
  agent.destroy();
  return times;
}

/** Draws 1 to n with weight 1 / rank, the same series every time. */
function zipfSeries(n: number): () => number {
  const sums: number[] = [];
  let sum = 0;
  for (let rank = 1; rank <= n; rank += 1) sums.push((sum += 1 / rank));
  let state = 42;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const point = (state / 2 ** 32) * sum;
    return sums.findIndex((upTo) => upTo >= point) + 1;
  };
}

const cores = divideCores();
const upstream = start(process.execPath, [join(import.meta.dirname, "upstream.ts")], { cores: cores.load });
const [, upstreamPort] = await upstream.said(/port (\d+)/u);
const scene: Scene = {
  upstreamPort: Number(upstreamPort),
  cores,
  callers: await createCallers(),
  command: packageFile.scripts.start,
  profileFolder: undefined,
};
const tools: LoadTools = { wrk: findProgram("wrk"), cores: cores.load };
await hits(scene, tools);
await misses(scene, tools);
await redisHits(scene, tools);
await zipf(scene);
await upstream.stop();
