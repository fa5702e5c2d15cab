// What http2.ts compares: ports of sidecars and of nginx, which lead to services of HTTP/1.1, HTTP/2 and gRPC.
import { writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { freePort } from "../support/redis.ts";
import { type Scene, startSidecar } from "./contenders.ts";
import { type Cores, findProgram } from "./machine.ts";
import { folder, pause, start } from "./processes.ts";

export interface Services {
  readonly http1: number;
  readonly http2: number;
  readonly grpc: number;
}

/** One process, and where it takes what. */
export interface Proxy {
  readonly pid: number;
  readonly port: number;
  stop(): Promise<void>;
}

export interface Nginx extends Proxy {
  readonly http2Port: number;
  readonly grpcPort: number;
}

const policy = { document: { apiVersion: "outrigger/v1", plugins: [] }, needsRedis: false };

/** A sidecar without plugins before one of the services. */
export function sidecarBefore(
  port: number,
  protocol: "http1" | "h2c",
  place: Pick<Scene, "cores" | "command" | "profileFolder">,
): Promise<Proxy> {
  const scene: Scene = { ...place, upstreamPort: port, callers: { tokens: [], publicKey: undefined } };
  return startSidecar(policy, scene, undefined, { OUTRIGGER_UPSTREAM_PROTOCOL: protocol });
}

/** @returns undefined where nginx is not installed */
export async function nginxBefore(services: Services, cores: Cores): Promise<Nginx | undefined> {
  const program = findProgram("nginx");
  if (program === undefined) return undefined;
  const [port, http2Port, grpcPort] = [await freePort(), await freePort(), await freePort()];
  const file = join(folder, `nginx-http2-${port}.conf`);
  writeFileSync(file, config([port, http2Port, grpcPort], services));
  const started = start(program, ["-p", folder, "-e", "stderr", "-c", file], { cores: cores.contender });
  for (const limit = Date.now() + 10_000; !(await accepts(grpcPort)); await pause(10))
    if (Date.now() > limit) throw new Error(`nginx does not listen: ${started.lastWords() ?? ""}`);
  return { pid: started.pid, port, http2Port, grpcPort, stop: () => started.stop() };
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => resolve(true));
    socket.on("error", () => resolve(false)).on("connect", () => socket.destroy());
  });
}

/** Its defaults but for: one worker, no access log, connections without end on both sides, bodies passed on as they come. */
function config([port, http2Port, grpcPort]: readonly [number, number, number], services: Services): string {
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
