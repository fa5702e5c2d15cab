// Starts nginx and haproxy: as bare forwards, and nginx also with the same work as the full chain.
import { rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { freePort } from "../support/redis.ts";
import { type Contender, LeftOut, type Scene, untilAnswering } from "./contender.ts";
import { obtainProgram } from "./machine.ts";
import { folder, start } from "./processes.ts";

export type NativeName = keyof typeof natives;

const natives = {
  nginx: { program: "nginx", configOf: (ports: Ports) => nginxConfig(ports, bareWork) },
  /**
   * Access log in JSON, the same set fields, CORS, a limit per caller, a subrequest for authentication, every miss
   * stored.
   */
  "nginx, same work": { program: "nginx", configOf: (ports: Ports) => nginxConfig(ports, sameWork(ports)) },
  haproxy: { program: "haproxy", configOf: haproxyConfig },
} as const;

interface Ports {
  readonly own: number;
  readonly upstream: number;
}

/** Configuration that is added to a bare forward. */
interface Work {
  readonly log: string;
  /** Lines in the block `http`. */
  readonly http: string;
  /** Lines in the block `server`. */
  readonly server: string;
  /** Lines in the block `location /`. */
  readonly location: string;
}

export function isNative(name: string): name is NativeName {
  return Object.hasOwn(natives, name);
}

/** @throws LeftOut if the program is not installed and cannot be */
export async function startNative(name: NativeName, scene: Scene): Promise<Contender> {
  const { program: programName, configOf } = natives[name];
  const program = obtainProgram(programName);
  if (program === undefined) {
    throw new LeftOut(`${programName} is not installed (Debian's package of that name)`);
  }
  const port = await freePort();
  const file = join(folder, `${programName}-${port}.conf`);
  writeFileSync(file, configOf({ own: port, upstream: scene.upstreamPort }));
  const args =
    programName === "nginx" ? ["-p", folder, "-e", "stderr", "-c", file] : ["-db", "-q", "-f", file];
  const started = start(program, args, { cores: scene.cores.contender });
  await untilAnswering(port, "/", started);
  return {
    ...started,
    name,
    port,
    async stop() {
      await started.stop();
      rmSync(answersOf(port), { recursive: true, force: true });
    },
  };
}

/** Folder of nginx's cache: in memory, as the sidecar's is. */
const answersOf = (port: number): string => `/dev/shm/${basename(folder)}-${port}`;

const bareWork: Work = { log: "access_log off;", http: "", server: "", location: "" };

/** Debian's nginx cannot check a JWT. Authentication is a subrequest that is always answered 204, which costs less. */
function sameWork({ own }: Ports): Work {
  return {
    log: `log_format fields escape=json '{"time":"$time_iso8601","client":"$remote_addr","method":"$request_method",'
    '"path":"$uri","status":$status,"bytes":$body_bytes_sent,"seconds":$request_time,"service":"$upstream_addr",'
    '"serviceSeconds":"$upstream_response_time","cache":"$upstream_cache_status","id":"$request_id",'
    '"agent":"$http_user_agent"}';
  access_log ${folder}/nginx-access-${own}.log fields buffer=32k flush=1s;`,
    http: `map $http_origin $allowed_origin { "https://app.example" $http_origin; default ""; }
  limit_req_zone $http_authorization zone=callers:10m rate=1000000r/s;
  proxy_cache_path ${answersOf(own)} keys_zone=answers:10m max_size=4m use_temp_path=off;`,
    server: "location = /who { internal; return 204; }",
    location: `auth_request /who;
      limit_req zone=callers burst=1000000 nodelay;
      proxy_cache answers;
      proxy_cache_key $host$request_uri;
      add_header Access-Control-Allow-Origin $allowed_origin;
      add_header Access-Control-Allow-Credentials true;
      add_header Vary Origin;
      add_header X-Served-By nginx;
      add_header X-Cache $upstream_cache_status;
      add_header X-Request-Id $request_id;
      add_header Via "1.1 nginx";
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $host;
      proxy_set_header X-Request-Id $request_id;
      proxy_set_header X-Request-Source "gateway $remote_addr";
      proxy_set_header Via "1.1 nginx";`,
  };
}

/** nginx's defaults, except for: unlimited keep-alive on both sides, bodies passed on as they arrive. */
function nginxConfig({ own, upstream }: Ports, { log, http, server, location }: Work): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((kind) => `${kind}_temp_path ${folder};`)
    .join(" ");
  // The worker would otherwise run as nobody, who may not enter this folder.
  const user = process.getuid?.() === 0 ? "user root;" : "";
  return `daemon off; worker_processes 1; pid ${folder}/nginx-${own}.pid; ${user}
events { worker_connections 4096; }
http {
  ${log} ${temporary}
  keepalive_requests 1000000000;
  map $http_upgrade $upstream_connection { default upgrade; "" ""; }
  upstream service { server 127.0.0.1:${upstream}; keepalive 128; keepalive_requests 1000000000; }
  ${http}
  server {
    listen 127.0.0.1:${own} backlog=4096;
    ${server}
    location / {
      proxy_pass http://service;
      proxy_http_version 1.1;
      proxy_request_buffering off;
      proxy_max_temp_file_size 0;
      proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $upstream_connection;
      ${location}
    }
  }
}
`;
}

function haproxyConfig({ own, upstream }: Ports): string {
  return `global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 1m
  timeout server 1m
frontend in
  bind 127.0.0.1:${own}
  default_backend service
backend service
  http-reuse always
  server one 127.0.0.1:${upstream}
`;
}
