// The contenders of http2.ts: ports of sidecars, nginx and haproxy in front of services of HTTP/1.1, HTTP/2 and gRPC.
import { writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { freePort } from "../support/redis.ts";
import type { Scene } from "./contender.ts";
import { startSidecar } from "./contenders.ts";
import { type Cores, findProgram } from "./machine.ts";
import { folder, pause, start } from "./processes.ts";

export interface Services {
  readonly http1: number;
  readonly http2: number;
  readonly grpc: number;
}

/** One process, and its ports. */
export interface Proxy {
  readonly pid: number;
  readonly port: number;
  stop(): Promise<void>;
}

/** One process, with a port for each combination of protocols. */
export interface Native extends Proxy {
  readonly name: "nginx" | "haproxy";
  readonly http2Port: number;
  readonly grpcPort: number;
  /** Port for HTTP/2 in clear text also to the service: nginx supports that for gRPC only. */
  readonly h2cPort: number | undefined;
}

const policy = { document: { apiVersion: "outrigger/v1", plugins: [] }, needsRedis: false };

/** Starts a sidecar without plugins in front of one of the services. */
export function sidecarBefore(
  port: number,
  protocol: "http1" | "h2c",
  place: Pick<Scene, "cores" | "command" | "profileFolder">,
): Promise<Proxy> {
  const scene: Scene = { ...place, upstreamPort: port, callers: { tokens: [], publicKey: undefined } };
  return startSidecar(policy, scene, undefined, {
    OUTRIGGER_UPSTREAM_PROTOCOL: protocol,
    OUTRIGGER_DRAIN_MS: "10000",
  });
}

/** Starts the smallest node:http2 forwarder in front of the gRPC service. */
export async function bareBefore(port: number, cores: Cores): Promise<Proxy> {
  const program = join(import.meta.dirname, "http2-bare.ts");
  const started = start(process.execPath, [program, String(port)], { cores: cores.contender });
  const [, own = ""] = await started.said(/port (\d+)/u);
  return { pid: started.pid, port: Number(own), stop: () => started.stop() };
}

/** @returns undefined if the program is not installed */
export async function nativeBefore(
  name: Native["name"],
  services: Services,
  cores: Cores,
): Promise<Native | undefined> {
  const program = findProgram(name);
  if (program === undefined) return undefined;
  const ports: Ports = [await freePort(), await freePort(), await freePort(), await freePort()];
  const [port, http2Port, grpcPort, h2cPort] = ports;
  const file = join(folder, `${name}-http2-${port}.conf`);
  writeFileSync(file, (name === "nginx" ? nginxConfig : haproxyConfig)(ports, services));
  const args = name === "nginx" ? ["-p", folder, "-e", "stderr", "-c", file] : ["-db", "-q", "-f", file];
  const started = start(program, args, { cores: cores.contender });
  for (const limit = Date.now() + 10_000; !(await accepts(grpcPort)); await pause(10))
    if (Date.now() > limit) throw new Error(`${name} does not listen: ${started.lastWords() ?? ""}`);
  const further = { http2Port, grpcPort, h2cPort: name === "nginx" ? undefined : h2cPort };
  return { name, pid: started.pid, port, ...further, stop: () => started.stop() };
}

type Ports = readonly [http1: number, http2: number, grpc: number, h2c: number];

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => resolve(true));
    socket.on("error", () => resolve(false)).on("connect", () => socket.destroy());
  });
}

/** haproxy's defaults, except for: one thread, and connections to services that any request may use. */
function haproxyConfig([port, http2Port, grpcPort, h2cPort]: Ports, services: Services): string {
  const way = (name: string, bind: string, server: string): string => `
frontend ${name}
  bind 127.0.0.1:${bind}
  default_backend to-${name}
backend to-${name}
  http-reuse always
  server one 127.0.0.1:${server}
`;
  return `global
  nbthread 1
  maxconn 8192
  tune.h2.max-concurrent-streams 256
defaults
  mode http
  timeout connect 5s
  timeout client 10m
  timeout server 10m
${way("http1", String(port), String(services.http1))}
${way("http2", `${http2Port} proto h2`, String(services.http1))}
${way("h2c", `${h2cPort} proto h2`, `${services.http2} proto h2`)}
${way("grpc", `${grpcPort} proto h2`, `${services.grpc} proto h2`)}
`;
}

/**
 * nginx's defaults, except for: one worker, no access log, unlimited keep-alive on both sides, bodies passed on as they
 * arrive.
 */
function nginxConfig([port, http2Port, grpcPort]: Ports, services: Services): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((kind) => `${kind}_temp_path ${folder};`)
    .join(" ");
  const user = process.getuid?.() === 0 ? "user root;" : "";
  const upstream = (name: string, at: number): string =>
    `upstream ${name} { server 127.0.0.1:${at}; keepalive 128; keepalive_requests 1000000000; }`;
  const toHttp1 =
    'location / { proxy_pass http://one; proxy_http_version 1.1; proxy_request_buffering off; proxy_set_header Host $host; proxy_set_header Connection ""; }';
  return `daemon off; worker_processes 1; pid ${folder}/nginx-${port}.pid; ${user}
events { worker_connections 8192; }
http {
  access_log off; ${temporary}
  keepalive_requests 1000000000; keepalive_timeout 600; http2_max_concurrent_streams 256;
  ${upstream("one", services.http1)}
  ${upstream("rpc", services.grpc)}
  server { listen 127.0.0.1:${port} backlog=4096; ${toHttp1} }
  server { listen 127.0.0.1:${http2Port} http2 backlog=4096; ${toHttp1} }
  server { listen 127.0.0.1:${grpcPort} http2; client_max_body_size 0; location / { grpc_pass grpc://rpc; grpc_read_timeout 600; grpc_send_timeout 600; } }
}
`;
}
