// Measures the CPU of a compressed response in nginx and in a sidecar, each a process of its own, at the same gzip
// level: whole JSON responses over kept connections.
import { writeFileSync } from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { obtainProgram } from "./machine.ts";
import { freePort } from "../support/redis.ts";
import { cpuMs, folder, pause, start, type Started } from "./processes.ts";

export interface CompressSize {
  readonly rounds: number;
  readonly responses: number;
}

export interface CompressCost {
  readonly kibibytes: number;
  /** Additional CPU for compressing a response, in µs. */
  readonly nginx: number;
  readonly sidecar: number;
  /** Ratio of the two figures above. */
  readonly ratio: number;
  /** Ratio of the CPU for whole compressed responses. */
  readonly wholeRatio: number;
}

const level = 6;
const connections = 8;
const sizes = [16, 100];

/** Makes a list of records as an API returns it: neither all alike nor random. */
function json(kibibytes: number): Buffer {
  let seed = 7;
  const next = (): number => (seed = (seed * 48_271) % 2_147_483_647);
  const rows: string[] = [];
  for (let length = 0; length < kibibytes * 1_024; length += rows.at(-1)?.length ?? 0) {
    const id = next();
    const city = ["Aachen", "Bergen", "Cadiz", "Delft"][id % 4];
    rows.push(
      JSON.stringify({ id, name: `User ${next() % 9_973}`, city, active: id % 3 === 0, score: next() / 7 }),
    );
  }
  return Buffer.from(`[${rows.join(",")}]`);
}

async function serve(bodies: ReadonlyMap<string, Buffer>): Promise<http.Server> {
  const server = http.createServer((request, response) => {
    const body = bodies.get(request.url ?? "") ?? Buffer.alloc(0);
    response.writeHead(200, { "Content-Type": "application/json", "Content-Length": body.length }).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

interface Contender extends Started {
  readonly port: number;
}

async function nginx(program: string, upstream: number): Promise<Contender> {
  const port = await freePort();
  const file = join(folder, `gzip-${port}.conf`);
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (kind) => `${kind}_temp_path ${folder};`,
  );
  writeFileSync(
    file,
    `daemon off; worker_processes 1; pid ${folder}/gzip-${port}.pid; ${process.getuid?.() === 0 ? "user root;" : ""}
events { worker_connections 1024; }
http {
  access_log off; ${temporary.join(" ")} keepalive_requests 1000000000;
  gzip on; gzip_comp_level ${level}; gzip_types application/json; gzip_proxied any;
  upstream service { server 127.0.0.1:${upstream}; keepalive 32; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port};
    location / { proxy_pass http://service; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_max_temp_file_size 0; }
  }
}
`,
  );
  return { ...start(program, ["-p", folder, "-e", "stderr", "-c", file], { cores: undefined }), port };
}

async function sidecar(upstream: number): Promise<Contender> {
  const port = await freePort();
  const file = join(folder, `compress-${port}.json`);
  const compress = { codings: ["gzip"], levels: { gzip: level } };
  writeFileSync(
    file,
    JSON.stringify({ apiVersion: "outrigger/v1", plugins: ["compress"], pluginConfig: { compress } }),
  );
  const env = {
    NODE_ENV: "production",
    OUTRIGGER_LISTEN: `127.0.0.1:${port}`,
    OUTRIGGER_ADMIN: "127.0.0.1:0",
    OUTRIGGER_UPSTREAM: `http://127.0.0.1:${upstream}`,
    OUTRIGGER_POLICY_FILE: file,
    LOG_LEVEL: "fatal",
  };
  return { ...start(process.execPath, ["src/main.ts"], { cores: undefined, env }), port };
}

type Coding = "gzip" | "identity";

function get(port: number, path: string, coding: Coding, agent: http.Agent): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    http
      .get({ port, host: "127.0.0.1", path, agent, headers: { "Accept-Encoding": coding } }, (response) => {
        response.on("end", () => resolve(response.headers["content-encoding"])).on("error", reject);
        response.resume();
      })
      .on("error", reject);
  });
}

async function untilCompressing(port: number, path: string, agent: http.Agent): Promise<void> {
  for (let left = 400; left > 0; left -= 1) {
    if ((await get(port, path, "gzip", agent).catch(() => undefined)) === "gzip") return;
    await pause(50);
  }
  throw new Error(`nothing on port ${port} compresses`);
}

type Ask = (contender: Contender, coding: Coding) => Promise<number>;

/** @returns a function that measures µs of CPU per response */
function asking(path: string, responses: number, agent: http.Agent): Ask {
  return async ({ port, pid }, coding) => {
    const before = cpuMs(pid);
    const lane = async (): Promise<void> => {
      for (let i = 0; i < responses / connections; i += 1) await get(port, path, coding, agent);
    };
    await Promise.all(Array.from({ length: connections }, lane));
    await pause(30);
    return ((cpuMs(pid) - before) * 1_000) / responses;
  };
}

const median = (of: readonly number[]): number => of.toSorted((a, b) => a - b)[of.length >> 1] ?? Number.NaN;

async function inRounds(contenders: readonly Contender[], ask: Ask, rounds: number): Promise<number[][][]> {
  const found = contenders.map((): [plain: number[], compressed: number[]] => [[], []]);
  // The first rounds let V8 compile.
  for (let round = -2; round < rounds; round += 1) {
    for (const [i, each] of contenders.entries()) {
      const [plain, compressed] = [await ask(each, "identity"), await ask(each, "gzip")];
      if (round < 0) continue;
      found[i]?.[0].push(plain);
      found[i]?.[1].push(compressed);
    }
  }
  return found;
}

/** @returns undefined if nginx is not installed */
export async function compressCosts({
  rounds,
  responses,
}: CompressSize): Promise<CompressCost[] | undefined> {
  const program = obtainProgram("nginx");
  if (program === undefined) return undefined;
  const bodies = new Map(sizes.map((kibibytes) => [`/${kibibytes}`, json(kibibytes)]));
  const server = await serve(bodies);
  const { port } = server.address() as AddressInfo;
  const agent = new http.Agent({ keepAlive: true, maxSockets: connections });
  const contenders = [await nginx(program, port), await sidecar(port)];
  try {
    const costs: CompressCost[] = [];
    for (const kibibytes of sizes) {
      const path = `/${kibibytes}`;
      for (const each of contenders) await untilCompressing(each.port, path, agent);
      const found = await inRounds(contenders, asking(path, responses, agent), rounds);
      const [plain, whole] = [0, 1].map((which) => found.map((each) => median(each[which] ?? [])));
      const [nginxPlain = Number.NaN, ownPlain = Number.NaN] = plain ?? [];
      const [nginxWhole = Number.NaN, ownWhole = Number.NaN] = whole ?? [];
      const [of, own] = [nginxWhole - nginxPlain, ownWhole - ownPlain];
      costs.push({ kibibytes, nginx: of, sidecar: own, ratio: own / of, wholeRatio: ownWhole / nginxWhole });
    }
    return costs;
  } finally {
    agent.destroy();
    await Promise.all(contenders.map((each) => each.stop()));
    server.close();
    server.closeAllConnections();
  }
}
