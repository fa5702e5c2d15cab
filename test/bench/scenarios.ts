// Lists the scenarios and their contenders. `--scenario` takes these names.
import type { ContenderName } from "./contenders.ts";
import type { Bench } from "./measure.ts";
import { measureThroughput, type ThroughputPlan } from "./measure.ts";
import {
  measureIdleConnections,
  measureLatency,
  measurePaced,
  measurePolicyChange,
  measureStart,
  measureWorkers,
} from "./measure-further.ts";
import { measureLull } from "./measure-lull.ts";
import { policyOf } from "./policies.ts";
import type { Traffic } from "./requests.ts";

export interface Scenario {
  readonly name: string;
  readonly title: string;
  measure(bench: Bench): Promise<void>;
}

const kibibyte = 1024;
const keepAlive = { kind: "closed", connections: 32, path: "/" } as const satisfies Traffic;
const everyone: readonly ContenderName[] = ["nginx", "haproxy", "http-proxy-3", "outrigger: no plugins"];

/** The longest chain that this version supports. */
function fullest({ scene }: Bench): ContenderName {
  const { missing } = policyOf("full chain", scene.callers);
  return missing.length === 0 ? "outrigger: full chain" : "outrigger: logging+cors+transform";
}

function throughput(
  name: string,
  title: string,
  contenders: readonly ContenderName[],
  trafficOf: (bench: Bench) => Traffic,
  more: Partial<ThroughputPlan> = {},
): Scenario {
  return {
    name,
    title,
    measure: (bench) => measureThroughput({ name, contenders, traffic: trafficOf(bench), ...more }, bench),
  };
}

export const scenarios: readonly Scenario[] = [
  throughput(
    "small",
    "GET, 300 B",
    [
      "nginx",
      "haproxy",
      "byte relay",
      "http-proxy-3",
      "@fastify/http-proxy",
      "hono + fetch",
      "node:http",
      "outrigger: no plugins",
      "outrigger: no plugins, retry",
      "outrigger: logging",
      "outrigger: logging+cors+transform",
    ],
    () => keepAlive,
    {
      quickWithout: [
        "haproxy",
        "byte relay",
        "@fastify/http-proxy",
        "hono + fetch",
        "node:http",
        "outrigger: logging",
      ],
    },
  ),
  throughput(
    "chain",
    "GET, 300 B, 50 callers' tokens, every URL new",
    [
      "nginx",
      "nginx, same work",
      "http-proxy-3",
      "outrigger: full chain",
      "outrigger: full chain, Redis cache",
    ],
    ({ scene }) => ({
      ...keepAlive,
      path: "/cacheable",
      everyUrlNew: true,
      tokens: scene.callers.tokens,
    }),
    { xCache: "MISS", quickWithout: ["outrigger: full chain, Redis cache"] },
  ),
  throughput(
    "hit",
    "GET, 300 B, 50 callers' tokens, answer in the cache",
    ["nginx", "nginx, same work", "node:http", "outrigger: full chain"],
    ({ scene }) => ({ ...keepAlive, path: "/cacheable", tokens: scene.callers.tokens }),
    { xCache: "HIT" },
  ),
  throughput("1k", "GET, 1 KiB", everyone, () => ({ ...keepAlive, path: `/?size=${kibibyte}` }), {
    quickWithout: everyone,
  }),
  throughput("64k", "GET, 64 KiB", everyone, () => ({ ...keepAlive, path: `/?size=${64 * kibibyte}` }), {
    bodyBytes: 64 * kibibyte,
    quickWithout: ["haproxy", "http-proxy-3"],
  }),
  throughput("post", "POST, 16 KiB", everyone, () => ({ ...keepAlive, bodyBytes: 16 * kibibyte }), {
    quickWithout: everyone,
  }),
  throughput(
    "chunked",
    "POST, 16 KiB chunked, echoed chunked",
    everyone,
    () => ({ ...keepAlive, path: "/echo", bodyBytes: 16 * kibibyte, chunked: true }),
    { quickWithout: everyone },
  ),
  throughput(
    "stream",
    "GET, 16 MiB",
    everyone,
    () => ({ ...keepAlive, connections: 4, path: `/?size=${16 * kibibyte * kibibyte}` }),
    { bodyBytes: 16 * kibibyte * kibibyte, seconds: 1.5, quickWithout: ["haproxy", "http-proxy-3"] },
  ),
  throughput(
    "connect",
    "GET, 300 B, every request on a new connection",
    everyone,
    () => ({ ...keepAlive, newConnections: true }),
    { quickWithout: everyone },
  ),
  throughput(
    "routes",
    "GET, 300 B, 5,000 paths in turn",
    ["nginx", "outrigger: logging", "outrigger: logging, 5,000 routes"],
    () => ({ ...keepAlive, path: "/items/", numberedPaths: 5_000 }),
    { quickWithout: ["nginx", "outrigger: logging", "outrigger: logging, 5,000 routes"] },
  ),
  throughput(
    "crowd",
    "GET, 300 B, 4,000 connections",
    ["nginx", "outrigger: no plugins"],
    () => ({ ...keepAlive, connections: 4_000 }),
    { seconds: 3, quickWithout: everyone },
  ),
  throughput(
    "websocket",
    "WebSocket, 64 B messages echoed",
    everyone,
    () => ({ ...keepAlive, kind: "websocket" }),
    { quickWithout: everyone },
  ),
  {
    name: "workers",
    title: "GET, 300 B, every URL new, one and two processes on all cores",
    measure: async (bench) => (bench.quick ? undefined : measureWorkers("workers", bench)),
  },
  {
    name: "idle",
    title: "1000 idle connections, memory",
    measure: (bench) => measureIdleConnections("idle", ["nginx", "http-proxy-3", fullest(bench)], bench),
  },
  {
    name: "paced",
    title: "1000 requests a second, every URL new",
    measure: (bench) =>
      measurePaced("paced", ["nginx", "nginx, same work", "http-proxy-3", fullest(bench)], bench),
  },
  {
    name: "lull",
    title: "GET, 300 B, 50 callers' tokens, every URL new, half a second after 30 s of rest",
    measure: (bench) => measureLull("lull", ["nginx", "http-proxy-3", fullest(bench)], bench),
  },
  {
    name: "latency",
    title: "300 requests a second, latency",
    measure(bench) {
      const more = bench.quick ? [] : (["http-proxy-3", "outrigger: no plugins"] as const);
      return measureLatency("latency", ["direct", "nginx", ...more, fullest(bench)], bench);
    },
  },
  {
    name: "start",
    title: "start to ready",
    measure: (bench) =>
      measureStart(
        "start",
        [...new Set(["outrigger: logging+cors+transform", fullest(bench)] as const)],
        bench,
      ),
  },
  {
    name: "policy",
    title: "`SET` to enforced",
    measure: (bench) => measurePolicyChange("policy", bench),
  },
];
