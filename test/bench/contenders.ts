// Everything that is compared: each is started over the same upstream, on the contender's core, on a free port.
import { writeFileSync } from "node:fs";
import { get } from "node:http";
import { join } from "node:path";
import { freePort, startRedis } from "../support/redis.ts";
import { type Cores, obtainProgram } from "./machine.ts";
import { type BenchPolicy, type Callers, type PolicyName, policyOf } from "./policies.ts";
import { folder, pause, start, type Started } from "./processes.ts";

export type ContenderName =
  | "direct"
  | "nginx"
  | "haproxy"
  | "http-proxy-3"
  | "@fastify/http-proxy"
  | "hono + fetch"
  | "node:http"
  | `outrigger: ${PolicyName}`
  | `outrigger: full chain, workers: ${"1" | "2"}`;

export interface Contender {
  readonly name: ContenderName;
  readonly port: number;
  readonly pid: number;
  /** What it wrote before it ended by itself; undefined while it runs. */
  lastWords(): string | undefined;
  stop(): Promise<void>;
}

export interface Scene {
  readonly upstreamPort: number;
  readonly cores: Cores;
  readonly callers: Callers;
  /** How a sidecar is started, from the project's folder. */
  readonly command: string;
  /** Where sidecars leave their CPU profiles. */
  readonly profileFolder: string | undefined;
}

/** Thrown for a contender that this machine or this version does not have. */
export class LeftOut extends Error {}

export async function startContender(name: ContenderName, scene: Scene): Promise<Contender> {
  if (name === "direct") {
    return {
      name,
      port: scene.upstreamPort,
      pid: process.pid,
      lastWords: () => undefined,
      stop: async () => {},
    };
  }
  if (name === "nginx" || name === "haproxy") return startNative(name, scene);
  if (name.startsWith("outrigger: ")) {
    const policy = policyOf(name.slice("outrigger: ".length) as PolicyName, scene.callers);
    const [plugin] = policy.missing;
    if (plugin !== undefined) throw new LeftOut(`plugin ${plugin} is not there`);
    return { name, ...(await startSidecar(policy, scene)) };
  }
  const program = join(import.meta.dirname, "proxies.ts");
  const started = start(process.execPath, [program, name, String(scene.upstreamPort)], {
    cores: scene.cores.contender,
    env: { NODE_ENV: "production" },
  });
  const [, port] = await started.said(/port (\d+)/u);
  return { ...started, name, port: Number(port) };
}

async function startNative(name: "nginx" | "haproxy", scene: Scene): Promise<Contender> {
  const program = obtainProgram(name);
  if (program === undefined) throw new LeftOut(`${name} is not installed (Debian's package of that name)`);
  const port = await freePort();
  const file = join(folder, `${name}-${port}.conf`);
  writeFileSync(file, (name === "nginx" ? nginxConfig : haproxyConfig)(port, scene.upstreamPort));
  const args = name === "nginx" ? ["-p", folder, "-e", "stderr", "-c", file] : ["-db", "-q", "-f", file];
  const started = start(program, args, { cores: scene.cores.contender });
  await untilAnswering(port, "/", started);
  return { ...started, name, port };
}

/** Its defaults but for: no access log, keep-alive without end on both sides, bodies passed on as they come. */
function nginxConfig(port: number, upstreamPort: number): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((kind) => `${kind}_temp_path ${folder};`)
    .join(" ");
  // Root's worker would otherwise become nobody, who may not enter this folder.
  const user = process.getuid?.() === 0 ? "user root;" : "";
  return `daemon off; worker_processes 1; pid ${folder}/nginx-${port}.pid; ${user}
events { worker_connections 4096; }
http {
  access_log off; ${temporary}
  keepalive_requests 1000000000;
  map $http_upgrade $upstream_connection { default upgrade; "" ""; }
  upstream service { server 127.0.0.1:${upstreamPort}; keepalive 128; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      proxy_pass http://service;
      proxy_http_version 1.1;
      proxy_request_buffering off;
      proxy_max_temp_file_size 0;
      proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $upstream_connection;
    }
  }
}
`;
}

function haproxyConfig(port: number, upstreamPort: number): string {
  return `global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 1m
  timeout server 1m
frontend in
  bind 127.0.0.1:${port}
  default_backend service
backend service
  http-reuse always
  server one 127.0.0.1:${upstreamPort}
`;
}

export interface RunningSidecar extends Omit<Contender, "name"> {
  /** Of its Redis, when it has one. */
  readonly redisUrl: string | undefined;
  /** From spawn to the first 200 of /readyz. */
  readonly readyMs: number;
}

/**
 * A sidecar as a process of its own, with nothing of this environment.
 * @param cores on which it runs; the contender's core unless told
 * @param env further settings
 */
export async function startSidecar(
  policy: Pick<BenchPolicy, "document" | "needsRedis">,
  scene: Scene,
  cores = scene.cores.contender,
  env: Readonly<Record<string, string>> = {},
): Promise<RunningSidecar> {
  const redis = policy.needsRedis ? await startRedis() : undefined;
  const [port, adminPort] = [await freePort(), await freePort()];
  const document = JSON.stringify(policy.document);
  const file = join(folder, `policy-${port}.json`);
  if (redis === undefined) writeFileSync(file, document);
  else await redis.cli.set("outrigger:policy", document);
  const { profileFolder } = scene;
  const profile = profileFolder === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profileFolder}`];
  const [program = "", ...args] = scene.command.split(" ");
  const began = performance.now();
  const started = start(program, [...profile, ...args], {
    cores,
    env: {
      NODE_ENV: "production",
      OUTRIGGER_LISTEN: `127.0.0.1:${port}`,
      OUTRIGGER_ADMIN: `127.0.0.1:${adminPort}`,
      OUTRIGGER_UPSTREAM: `http://127.0.0.1:${scene.upstreamPort}`,
      OUTRIGGER_DRAIN_MS: "500",
      ...(redis === undefined ? { OUTRIGGER_POLICY_FILE: file } : { REDIS_URL: redis.url }),
      ...env,
    },
  });
  await untilAnswering(adminPort, "/readyz", started);
  return {
    ...started,
    port,
    redisUrl: redis?.url,
    readyMs: performance.now() - began,
    async stop() {
      await started.stop();
      await redis?.close();
    },
  };
}

/** Asks every few milliseconds until the answer is 200. */
async function untilAnswering(port: number, path: string, started: Started): Promise<void> {
  let ended: Error | undefined;
  started.end.catch((error: unknown) => (ended = error as Error));
  for (const limit = Date.now() + 20_000; Date.now() < limit; await pause(3)) {
    if (ended !== undefined) throw ended;
    if (await answers200(port, path)) return;
  }
  throw new Error(`no answer from port ${port} within 20 s`);
}

function answers200(port: number, path: string): Promise<boolean> {
  return new Promise((resolve) => {
    get({ port, path, host: "127.0.0.1", agent: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    }).on("error", () => resolve(false));
  });
}
