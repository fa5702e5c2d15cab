// The contenders for the cache: a node:http server that holds the answer itself, nginx `proxy_cache` and varnish.
import { execFileSync } from "node:child_process";
import { readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../support/redis.ts";
import type { Scene } from "./contender.ts";
import { startSidecar } from "./contenders.ts";
import { findProgram } from "./machine.ts";
import { folder, pause, start } from "./processes.ts";

export interface CacheContender {
  readonly name: string;
  readonly port: number;
  readonly pid: number;
  /** What the contender reports to hold. */
  held?(): Promise<Held> | Held;
  stop(): Promise<void>;
}

export interface Held {
  readonly entries: number;
  /** Bytes as the contender counts them against its limit. */
  readonly bytes: number;
}

/** Makes a policy with these plugins, in the form that `startSidecar` takes. */
export function policy(
  plugins: readonly string[],
  cache: Readonly<Record<string, unknown>> = {},
  needsRedis = false,
) {
  const pluginConfig = plugins.includes("cache") ? { cache: { redis: needsRedis, ...cache } } : {};
  return { document: { apiVersion: "outrigger/v1", plugins, pluginConfig }, needsRedis };
}

export async function sidecar(
  name: string,
  settings: Parameters<typeof startSidecar>[0],
  scene: Scene,
): Promise<CacheContender> {
  const { port, adminPort, pid, stop } = await startSidecar(settings, scene);
  return { name, port, pid, stop, held: () => heldBySidecar(adminPort) };
}

async function heldBySidecar(adminPort: number): Promise<Held> {
  const text = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text();
  const value = (name: string): number => Number(new RegExp(`^${name}\\{.*\\} (.*)$`, "m").exec(text)?.[1]);
  return {
    entries: value("outrigger_cache_memory_entries"),
    bytes: value("outrigger_cache_memory_bytes"),
  };
}

export async function answering(bytes: number, { cores }: Scene): Promise<CacheContender> {
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

/**
 * @param bounds set if its memory is measured. `keysKiB`: room for keys, 128 bytes each. nginx enforces this limit at
 * once, but its limit on bytes only every ten seconds. With bounds, it keeps no files open: deleted entries would still
 * answer.
 * @returns undefined if the program is not installed
 */
export async function nginx(
  scene: Scene,
  bounds?: { readonly memoryMiB: number; readonly keysKiB: number },
): Promise<CacheContender | undefined> {
  const { memoryMiB, keysKiB } = bounds ?? { memoryMiB: 64, keysKiB: 10_240 };
  const openFiles = bounds === undefined ? "open_file_cache max=10000;" : "";
  const program = findProgram("nginx");
  if (program === undefined) return undefined;
  const port = await freePort();
  const file = join(folder, `nginx-cache-${port}.conf`);
  const bodies = join(folder, `nginx-cache-${port}`);
  const user = process.getuid?.() === 0 ? "user root;" : "";
  writeFileSync(
    file,
    `daemon off; worker_processes 1; pid ${folder}/nginx-cache.pid; ${user}
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 1000000000; sendfile on; tcp_nopush on; ${openFiles}
  proxy_cache_path ${bodies} keys_zone=c:${keysKiB}k max_size=${memoryMiB}m;
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
  // Entries are files that the kernel keeps in memory: in whole blocks, they are larger than their bytes.
  const held = (): Held => {
    const sizes = readdirSync(bodies).map((name) => statSync(join(bodies, name)).size);
    return { entries: sizes.length, bytes: sizes.reduce((sum, size) => sum + size, 0) };
  };
  return { name: "nginx proxy_cache", port, pid: started.pid, held, stop: () => started.stop() };
}

/**
 * Its storage counts heads and bodies of objects; about 1 KiB of further data for each object is not counted.
 * @returns undefined if the program is not installed
 */
export async function varnish(scene: Scene, memoryMiB = 64): Promise<CacheContender | undefined> {
  const program = findProgram("varnishd");
  if (program === undefined) return undefined;
  const port = await freePort();
  const file = join(folder, `varnish-${port}.vcl`);
  // Varnish's default rules do not cache requests with Authorization; the answers here are public.
  writeFileSync(
    file,
    `vcl 4.1;
backend default { .host = "127.0.0.1"; .port = "${scene.upstreamPort}"; }
sub vcl_recv { return (hash); }
`,
  );
  // No jail: the jail's users may not read this run's folder.
  const place = join(folder, `varnish-${port}`);
  const args = ["-j", "none", "-F", "-n", place, "-s", `malloc,${memoryMiB}m`];
  // Every hit moves an answer to the front of the LRU list. By default that happens only once in two seconds, which is
  // a longer time in this bench.
  const order = ["-p", "lru_interval=0"];
  const started = start(program, [...args, ...order, "-a", `127.0.0.1:${port}`, "-f", file], {
    cores: scene.cores.contender,
  });
  await started.said(/Child launched OK/u);
  return {
    name: "varnish",
    port,
    pid: started.pid,
    held: () => heldByVarnish(place),
    stop: () => started.stop(),
  };
}

/** @returns NaN if varnishstat is missing */
function heldByVarnish(place: string): Held {
  const program = findProgram("varnishstat");
  const names = ["MAIN.n_object", "SMA.s0.g_bytes"] as const;
  if (program === undefined) return { entries: Number.NaN, bytes: Number.NaN };
  const text = execFileSync(program, [
    "-n",
    place,
    "-1",
    ...names.flatMap((name) => ["-f", name]),
  ]).toString();
  const [entries, bytes] = names.map((name) => Number(new RegExp(`^${name}\\s+(\\d+)`, "m").exec(text)?.[1]));
  return { entries: entries ?? Number.NaN, bytes: bytes ?? Number.NaN };
}
