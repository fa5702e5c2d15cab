// Measures what HTTP/2 costs: CPU per request of the proxy's process, as ratios within rounds in which all contenders
// take turns, compared with nginx and haproxy where they are installed; messages of gRPC streams; memory of idle
// connections; streams that a drain loses. `node test/bench/http2.ts [--quick] [--command LINE] [--profile FOLDER]`
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bundledCommand } from "./bundled.ts";
import {
  bareBefore,
  type Native,
  nativeBefore,
  type Proxy,
  type Services,
  sidecarBefore,
} from "./http2-contenders.ts";
import { idleConnections, type Kind, lostInDrain, messages, proveUnary, requests } from "./http2-load.ts";
import { divideCores, findProgram } from "./machine.ts";
import { cpuMs, pause, rssMiB, start, watchOthers } from "./processes.ts";

const { values: chosen } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    command: { type: "string" },
    profile: { type: "string" },
  },
});
const rounds = chosen.quick ? 5 : 15;
const counts = chosen.quick ? { requests: 3_000, messages: 2_000 } : { requests: 10_000, messages: 8_000 };
const idle = 1_000;

interface Row {
  readonly name: string;
  readonly proxy: Proxy;
  readonly port: number;
  readonly kind: Kind | "messages";
}

const h2load = findProgram("h2load");
if (h2load === undefined) throw new Error("h2load is not installed (Debian: apt-get install nghttp2-client)");
const program = h2load;
const cores = divideCores();

async function startServices(): Promise<Services & { stop(): Promise<void> }> {
  const started = start(process.execPath, [join(import.meta.dirname, "http2-service.ts")], {
    cores: cores.load,
  });
  const [, http1 = "", http2 = "", grpc = ""] = await started.said(/ports (\d+) (\d+) (\d+)/u);
  return { http1: Number(http1), http2: Number(http2), grpc: Number(grpc), stop: () => started.stop() };
}

/** @returns µs of CPU for one request or message */
async function cost({ proxy, port, kind }: Row): Promise<number> {
  const before = cpuMs(proxy.pid);
  const count = kind === "messages" ? counts.messages : counts.requests;
  if (kind === "messages") await messages(port, count);
  else await requests(program, { kind, port, count }, cores.load);
  await pause(20);
  return ((cpuMs(proxy.pid) - before) * 1_000) / count;
}

async function measure(rows: readonly Row[]): Promise<Map<string, number[]>> {
  const found = new Map<string, number[]>(rows.map(({ name }) => [name, []]));
  // These runs do not count: they let V8 compile.
  for (const row of rows) for (let i = 0; i < (chosen.quick ? 2 : 3); i += 1) await cost(row);
  for (let round = 0; round < rounds; round += 1)
    for (const row of rows) found.get(row.name)?.push(await cost(row));
  return found;
}

function median(figures: readonly number[]): number {
  const sorted = figures.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

const print = (name: string, value: string): void => console.log(`${name.padEnd(46)} ${value}`);

function printCosts(found: Map<string, number[]>): void {
  for (const [name, figures] of found)
    print(name, `${median(figures).toFixed(1)} µs (least ${Math.min(...figures).toFixed(1)})`);
}

/** Prints the median of the rounds' ratios, with its goal if there is one. */
function ratio(found: Map<string, number[]>, one: string, to: string, goal?: number): void {
  const [figures, base] = [found.get(one), found.get(to)];
  if (figures === undefined || base === undefined) return;
  const times = median(figures.map((figure, round) => figure / (base[round] ?? Number.NaN)));
  const verdict = goal === undefined ? "" : `, goal at most ${goal}x: ${times <= goal ? "met" : "MISSED"}`;
  print(`${one} / ${to}`, `${times.toFixed(2)}x${verdict}`);
}

async function memory(name: string, proxy: Proxy, port: number): Promise<void> {
  const before = rssMiB(proxy.pid);
  const close = await idleConnections(port, idle);
  await pause(500);
  const added = rssMiB(proxy.pid) - before;
  close();
  print(
    `${idle} idle HTTP/2 connections, ${name}`,
    `${added.toFixed(1)} MiB more, ${((added * 1_024) / idle).toFixed(1)} KiB each`,
  );
}

const services = await startServices();
if (chosen.profile !== undefined) mkdirSync(chosen.profile, { recursive: true });
const place = { cores, command: chosen.command ?? bundledCommand(), profileFolder: chosen.profile };
const toHttp1 = await sidecarBefore(services.http1, "http1", place);
const toHttp2 = await sidecarBefore(services.http2, "h2c", place);
const toGrpc = await sidecarBefore(services.grpc, "h2c", place);
const bare = await bareBefore(services.grpc, cores);
const natives: Native[] = [];
for (const name of ["nginx", "haproxy"] as const) {
  const native = await nativeBefore(name, services, cores);
  if (native === undefined) console.log(`${name} is not installed: left out`);
  else natives.push(native);
}
for (const port of [toGrpc.port, bare.port, ...natives.map(({ grpcPort }) => grpcPort)])
  await proveUnary(port);

const own: readonly Row[] = [
  { name: "h1 to h1", proxy: toHttp1, port: toHttp1.port, kind: "http1" },
  { name: "h2 to h1", proxy: toHttp1, port: toHttp1.port, kind: "http2" },
  { name: "h2 to h2c", proxy: toHttp2, port: toHttp2.port, kind: "http2" },
  { name: "gRPC unary", proxy: toGrpc, port: toGrpc.port, kind: "unary" },
  { name: "node:http2: gRPC unary", proxy: bare, port: bare.port, kind: "unary" },
  { name: "gRPC stream message, 1 KB", proxy: toGrpc, port: toGrpc.port, kind: "messages" },
];
const theirs: readonly Row[] = natives.flatMap((proxy) => {
  const { name, port, http2Port, grpcPort, h2cPort } = proxy;
  return [
    { name: `${name}: h1 to h1`, proxy, port, kind: "http1" },
    { name: `${name}: h2 to h1`, proxy, port: http2Port, kind: "http2" },
    ...(h2cPort === undefined
      ? []
      : [{ name: `${name}: h2 to h2c`, proxy, port: h2cPort, kind: "http2" } as const]),
    { name: `${name}: gRPC unary`, proxy, port: grpcPort, kind: "unary" },
    { name: `${name}: gRPC stream message, 1 KB`, proxy, port: grpcPort, kind: "messages" },
  ] as const;
});
const others = watchOthers();
const found = await measure([...own, ...theirs]);
printCosts(found);
ratio(found, "h2 to h1", "h1 to h1", 1.5);
ratio(found, "h2 to h2c", "h1 to h1");
ratio(found, "gRPC unary", "node:http2: gRPC unary");
for (const { name } of natives) {
  for (const way of ["h1 to h1", "h2 to h1", "h2 to h2c", "gRPC stream message, 1 KB"])
    ratio(found, way, `${name}: ${way}`);
  ratio(found, "gRPC unary", `${name}: gRPC unary`, name === "nginx" ? 3 : undefined);
}
const fresh = await sidecarBefore(services.http1, "http1", place);
await idleConnections(fresh.port, 10).then((close) => close());
await memory("outrigger", fresh, fresh.port);
for (const native of natives) await memory(native.name, native, native.http2Port);
const lost = await lostInDrain(toGrpc.port, 100, () => toGrpc.stop());
print("a drain with 100 gRPC streams open", `${lost} lost, goal 0: ${lost === 0 ? "met" : "MISSED"}`);
print("other work on the machine", `${(others() * 100).toFixed(0)} % of its time`);
await Promise.all([toHttp1, toHttp2, fresh, bare, services, ...natives].map((one) => one.stop()));
