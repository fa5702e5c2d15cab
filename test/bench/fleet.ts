// Measures how much load a fleet causes on the Redis that it watches, and how long a change takes to reach the whole
// fleet. `npm run bench:fleet [-- rest change write list] [--watchers=1000] [--services=100]`: all four parts, or the
// named ones. CPU is that of Redis' process by its own accounts. All times are from one clock, while watchers, Redis
// and this program share the machine.
import { execFile } from "node:child_process";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs, promisify } from "node:util";
import { heartbeatExpiryMs, heartbeatKey, membersKey, servicesKey } from "../../src/fleet/heartbeat.ts";
import { converge } from "../../src/plane/converge.ts";
import { PolicyHistory } from "../../src/plane/history.ts";
import { parseRedisAddress } from "../../src/redis/address.ts";
import { createStore, type RedisStore } from "../../src/redis/store.ts";
import { type RedisServer, startRedis } from "../support/redis.ts";
import { Crew } from "./fleet-crew.ts";
import { commandTable, readRedis } from "./fleet-readings.ts";
import { cpuModel } from "./machine.ts";

const keyPrefix = "outrigger:";
const restMs = 10_000;
const changes = 9;
const unrelatedWrites = 50_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    watchers: { type: "string", default: "1000" },
    services: { type: "string", default: "100" },
    commands: { type: "boolean", default: false },
  },
});
const watchers = Number(values.watchers);
const services = Number(values.services);
const asked = (part: string): boolean => positionals.length === 0 || positionals.includes(part);

function say(label: string, text: string): void {
  console.log(`| ${label} | ${text} |`);
}

/** Makes a policy as teams write them; its last path is different for each mark. */
function policyOf(mark: string): Buffer {
  const routes = Array.from({ length: 40 }, (_, index) => ({
    path: `/api/things-${index}/*`,
    methods: ["GET", "POST"],
    timeout: 5_000,
  }));
  const text = JSON.stringify({
    apiVersion: "outrigger/v1",
    plugins: ["logging", "rate-limit"],
    pluginConfig: { "rate-limit": { limits: [{ name: "ip", by: "ip", limit: 100, window: "1m" }] } },
    routes: [...routes, { path: mark }],
  });
  return Buffer.from(text);
}

async function apply(store: RedisStore, mark: string): Promise<{ digest: string; atMs: number }> {
  const history = new PolicyHistory(store, keyPrefix);
  const { revision: base } = await history.current(undefined, "bench");
  const document = policyOf(mark);
  return await history.change(undefined, { document, kind: "apply", author: "bench", reason: mark, base });
}

interface Scene {
  readonly redis: RedisServer;
  readonly store: RedisStore;
}

async function withScene(work: (scene: Scene) => Promise<void>): Promise<void> {
  const redis = await startRedis({ args: ["--maxclients", "20000", "--hz", "10"] });
  const store = createStore({ address: parseRedisAddress(redis.url), keyPrefix, connectionName: "operator" });
  try {
    await store.whenUp(5_000);
    await apply(store, "/first");
    await work({ redis, store });
  } finally {
    store.close();
    await redis.close();
  }
}

async function measureRest({ redis: { cli } }: Scene, crew: Crew): Promise<number> {
  await cli.config("RESETSTAT");
  const [before, watchersBefore] = [await readRedis(cli), crew.cpuMs];
  await pause(restMs);
  const [after, watchersAfter] = [await readRedis(cli), crew.cpuMs];
  const seconds = (after.atMono - before.atMono) / 1_000;
  const rate = (field: "cpuMs" | "commands" | "inBytes" | "outBytes" | "beats"): number =>
    (after[field] - before[field]) / seconds;
  say("Redis' CPU between changes, % of a core", (rate("cpuMs") / 10).toFixed(1));
  say("commands a second", rate("commands").toFixed(0));
  say("heartbeats a second", rate("beats").toFixed(0));
  say("KiB/s in, out", `${(rate("inBytes") / 1024).toFixed(0)}, ${(rate("outBytes") / 1024).toFixed(0)}`);
  say("connections (this bench's own: 1)", String(after.connections));
  say("MiB in use, resident", `${after.usedMiB.toFixed(0)}, ${after.residentMiB.toFixed(0)}`);
  say(
    "watchers' CPU, % of a core each",
    ((watchersAfter - watchersBefore) / seconds / 10 / watchers).toFixed(3),
  );
  if (values.commands) console.log((await commandTable(cli)).join("\n"));
  return rate("cpuMs");
}

async function measureChanges({ redis: { cli }, store }: Scene, crew: Crew, restCpu: number): Promise<void> {
  const rounds: { p50: number; p99: number; max: number; cpu: number; crewCpu: number; out: number }[] = [];
  if (values.commands) await cli.config("RESETSTAT");
  for (let round = 0; round < changes; round++) {
    const [mark, before, crewBefore] = [`/round-${round}`, await readRedis(cli), crew.cpuMs];
    const startedMs = performance.timeOrigin + performance.now();
    await apply(store, mark);
    const times = (await crew.untilInForce(mark)).map((atMs) => atMs - startedMs);
    // Waits for the follow-up work: receipts, and the check whether the history has the change.
    await pause(500);
    const after = await readRedis(cli);
    const at = (share: number): number => times[Math.ceil(times.length * share) - 1] ?? 0;
    rounds.push({
      p50: at(0.5),
      p99: at(0.99),
      max: at(1),
      cpu: after.cpuMs - before.cpuMs - (restCpu * (after.atMono - before.atMono)) / 1_000,
      crewCpu: crew.cpuMs - crewBefore,
      out: (after.outBytes - before.outBytes) / 1_048_576,
    });
  }
  if (values.commands) console.log((await commandTable(cli)).join("\n"));
  const spread = (field: keyof (typeof rounds)[number], digits = 0): string => {
    const list = rounds.map((each) => each[field]).toSorted((a, b) => a - b);
    return `${medianOf(list).toFixed(digits)} (${list[0]?.toFixed(digits)}–${list.at(-1)?.toFixed(digits)})`;
  };
  say("`apply` to in force, ms: p50", spread("p50"));
  say("p99", spread("p99"));
  say("max", spread("max"));
  say("Redis' CPU for one change, ms beyond rest", spread("cpu"));
  say("watchers' CPU in that time, ms", spread("crewCpu"));
  say("MiB out for one change", spread("out", 1));
}

async function measureReceipts({ store }: Scene): Promise<void> {
  const applied = await apply(store, "/waited-for");
  const signal = AbortSignal.timeout(20_000);
  const startedMono = performance.now();
  const options = { limitMs: 20_000, signal, onProgress() {} };
  const { concerned, inForce, ms } = await converge(store, { service: undefined, ...applied }, options);
  const tookMs = (performance.now() - startedMono).toFixed(0);
  say(
    "`apply --wait`, ms: p50, p99, max by the receipts",
    `${ms?.p50}, ${ms?.p99}, ${ms?.max}; ${inForce} of ${concerned} receipts read after ${tookMs}`,
  );
}

const medianOf = (list: readonly number[]): number =>
  list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)] ?? 0;

/** Measures Redis' work for a write while the watchers are frozen, so that none of them is notified. */
async function measureWrites({ redis: { cli } }: Scene, label: string): Promise<void> {
  const costs: number[] = [];
  for (let round = 0; round < 3; round++) {
    const before = await readRedis(cli);
    for (let sent = 0; sent < unrelatedWrites; sent += 5_000) {
      const pipeline = cli.pipeline();
      for (let at = 0; at < 5_000; at++) pipeline.set(`other:${at}`, "value");
      await pipeline.exec();
    }
    costs.push(((await readRedis(cli)).cpuMs - before.cpuMs) / (unrelatedWrites / 1_000));
  }
  const prefixes = /tracking_total_prefixes:(\d+)/u.exec(await cli.info("stats"))?.[1];
  say(
    `Redis' CPU for a write of another key, ${label}`,
    `${medianOf(costs).toFixed(2)} µs; ${prefixes} prefixes`,
  );
}

async function measureWriteScenes(): Promise<void> {
  for (const [count, of] of [
    [0, 1],
    [1, 1],
    [100, 1],
    [100, 100],
    [watchers, 1],
    [watchers, watchers],
  ] as const) {
    await withScene(async (scene) => {
      const crew = await Crew.start(scene.redis.url, count, of);
      crew.freeze();
      await measureWrites(scene, `${count} watchers of ${count === 0 ? 0 : of} services`);
      await crew.end();
    });
  }
}

/** Measures `outrigger fleet --json` over heartbeats in the form that sidecars write. */
async function measureListing({ redis: { cli, url }, store }: Scene, count: number): Promise<void> {
  const { digest } = await apply(store, "/listed");
  for (let from = 0; from < count; from += 1_000) {
    const pipeline = cli.pipeline();
    for (let number = from; number < from + 1_000; number++) {
      const service = `service-${number % services}`;
      const instance = `instance-${number}`;
      const told = {
        service,
        instance,
        region: null,
        version: "0.1.0",
        plugins: {},
        upSeconds: 7,
        revision: 1,
      };
      const rest = {
        digest,
        documents: { shared: digest, layer: null },
        source: "redis",
        inForceAt: Date.now(),
      };
      pipeline.set(
        keyPrefix + heartbeatKey(service, instance),
        JSON.stringify({ ...told, ...rest }),
        "PX",
        heartbeatExpiryMs * 4,
      );
      pipeline.zadd(keyPrefix + membersKey(service), Date.now(), instance);
      pipeline.zadd(keyPrefix + servicesKey, Date.now(), service);
    }
    await pipeline.exec();
  }
  const before = await readRedis(cli);
  const tellPeak =
    "data:text/javascript,process.on('exit',()=>console.error(process.resourceUsage().maxRSS))";
  const program = join(import.meta.dirname, "../../src/main.ts");
  const env = { PATH: process.env["PATH"], REDIS_URL: url };
  const { stdout, stderr } = await promisify(execFile)(
    process.execPath,
    ["--import", tellPeak, program, "fleet", "--json"],
    { env, maxBuffer: 1 << 30 },
  );
  const after = await readRedis(cli);
  const listed = (JSON.parse(stdout) as { sidecars: unknown[] }).sidecars.length;
  const mebibytes = Number(stderr.trim().split("\n").pop()) / 1024;
  const cost = `Redis ${(after.cpuMs - before.cpuMs).toFixed(0)} ms of CPU`;
  say(
    `outrigger fleet, ${listed} sidecars`,
    `${(after.atMono - before.atMono).toFixed(0)} ms, ${mebibytes.toFixed(0)} MiB at most; ${cost}`,
  );
}

console.log(`${cpuModel()}; Node ${process.versions.node}; ${watchers} watchers of ${services} services\n`);
console.log("| what | figure |\n| --- | --- |");
if (asked("rest") || asked("change"))
  await withScene(async (scene) => {
    const startedMono = performance.now();
    const crew = await Crew.start(scene.redis.url, watchers, services);
    say("all watchers started after, s", ((performance.now() - startedMono) / 1_000).toFixed(1));
    // Watchers that started while the fleet was small send heartbeats often until they count it again.
    if (asked("rest")) await pause(25_000);
    const rest = await measureRest(scene, crew);
    if (asked("change")) {
      await measureChanges(scene, crew, rest);
      await measureReceipts(scene);
    }
    await crew.end();
  });
if (asked("write")) await measureWriteScenes();
if (asked("list"))
  for (const count of [1_000, 10_000]) await withScene((scene) => measureListing(scene, count));
