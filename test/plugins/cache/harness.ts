// A sidecar with the cache on, a service whose answers a test writes, and a clock that the test moves.
import http from "node:http";
import type { AddressInfo } from "node:net";
import { z } from "zod";
import { cache } from "../../../plugins/cache/index.ts";
import { createState, type CacheState } from "../../../plugins/cache/state.ts";
import { registry } from "../../../plugins/index.ts";
import { definePlugin, type Clock, type PluginDefinition } from "../../../src/plugin-api/contract.ts";
import { startSidecar, type TestSidecar } from "../../support/sidecar.ts";

/** A clock that goes like the real one, plus what the test adds. */
export class TestClock implements Clock {
  #addedMs = 0;

  now(): number {
    return Date.now() + this.#addedMs;
  }

  mono(): number {
    return performance.now() + this.#addedMs;
  }

  advanceSeconds(seconds: number): void {
    this.#addedMs += seconds * 1000;
  }
}

/** Stands where auth stands, and believes `x-user: <id>` and `x-tenant`: the test decides who is calling. */
export const identify: PluginDefinition = definePlugin({
  name: "identify",
  version: "1.0.0",
  apiVersion: 1,
  priority: 10,
  security: true,
  failMode: "closed",
  options: z.strictObject({}),
  setup: () => ({
    onRequest(exchange) {
      const userId = exchange.request.fields.get("x-user");
      if (userId === undefined) return;
      exchange.identity = {
        userId,
        plan: undefined,
        scopes: [],
        roles: exchange.request.fields.getAll("x-role"),
        method: "test",
        credentialId: undefined,
        claims: { tenant: exchange.request.fields.get("x-tenant") ?? "none" },
      };
    },
  }),
});

export interface Answer {
  readonly status: number;
  readonly reason: string | undefined;
  readonly headers: http.IncomingHttpHeaders;
  readonly rawHeaders: string[];
  readonly body: Buffer;
  readonly text: string;
  /** X-Cache. */
  readonly cache: string | undefined;
}

export interface AskOptions {
  readonly method?: string;
  /** Host is api.example unless given. */
  readonly headers?: http.OutgoingHttpHeaders;
  readonly body?: string;
  readonly signal?: AbortSignal;
}

export interface CacheBench {
  readonly sidecar: TestSidecar;
  readonly clock: TestClock;
  /** Requests that reached the service, in order. */
  readonly asked: http.IncomingMessage[];
  ask(target: string, options?: AskOptions): Promise<Answer>;
  /** Value of outrigger_cache_requests_total for a result. */
  counted(result: string): Promise<number>;
  stop(): Promise<void>;
}

const sentinel = "/sentinel";

/** Resolves when every request sent before has reached the sidecar: later connections are served after earlier ones. */
export async function allArrived({ sidecar }: CacheBench): Promise<void> {
  for (let round = 0; round < 3; round += 1) {
    await ask(sidecar.port, undefined, sentinel, {
      headers: { "cache-control": "no-store", connection: "close" },
    });
  }
}

export interface BenchOptions {
  readonly cache?: Readonly<Record<string, unknown>>;
  readonly plugins?: readonly string[];
  readonly redisUrl?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly service: (request: http.IncomingMessage, response: http.ServerResponse, count: number) => void;
  readonly clock?: TestClock;
  /** The whole policy, in place of one made of `cache` and `plugins`. */
  readonly policy?: Readonly<Record<string, unknown>>;
  readonly further?: readonly PluginDefinition[];
  /** In place of the plugin itself, e.g. one whose state the test sees. */
  readonly plugin?: PluginDefinition;
}

/** The plugin, and its state once a policy has named it. */
export function withState(): { readonly plugin: PluginDefinition; readonly state: () => CacheState } {
  let seen: CacheState | undefined;
  const plugin: PluginDefinition = {
    ...(cache as PluginDefinition),
    init: (services) => (seen = createState(services)),
  };
  return { plugin, state: () => seen as CacheState };
}

/** The service of a bench, for several sidecars in front of one. */
interface Service {
  readonly asked: http.IncomingMessage[];
  readonly listener: http.RequestListener;
}

function serviceOf(options: BenchOptions): Service {
  const asked: http.IncomingMessage[] = [];
  return {
    asked,
    listener(request, response) {
      // The service's Date would be of the real clock.
      response.sendDate = false;
      if (request.url === sentinel) {
        response.end();
        return;
      }
      asked.push(request);
      options.service(request, response, asked.length);
    },
  };
}

export function startBench(options: BenchOptions): Promise<CacheBench> {
  const { asked, listener } = serviceOf(options);
  return startOne(options, asked, listener);
}

/** Sidecars in front of one service: `asked` is common to all. */
export async function startFleet(count: number, options: BenchOptions): Promise<CacheBench[]> {
  const { asked, listener } = serviceOf(options);
  const server = http.createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const all = await Promise.all(Array.from({ length: count }, () => startOne(options, asked, url)));
  let running = count;
  return all.map((bench) => ({
    ...bench,
    async stop() {
      await bench.stop();
      running -= 1;
      if (running > 0) return;
      server.closeAllConnections();
      server.close();
    },
  }));
}

/** One more sidecar in front of a bench's service. */
export function joinFleet({ sidecar, asked }: CacheBench, options: BenchOptions): Promise<CacheBench> {
  if (sidecar.service === undefined) throw new Error("the bench has no service of its own");
  const { port } = sidecar.service.address() as AddressInfo;
  return startOne(options, asked, `http://127.0.0.1:${port}`);
}

async function startOne(
  options: BenchOptions,
  asked: http.IncomingMessage[],
  upstream: http.RequestListener | string,
): Promise<CacheBench> {
  const clock = options.clock ?? new TestClock();
  const sidecar = await startSidecar({
    policy: options.policy ?? {
      plugins: options.plugins ?? ["cache", "identify"],
      pluginConfig: { cache: options.cache ?? {} },
    },
    registry: [
      ...registry.filter(({ name }) => name !== "auth" && name !== "cache"),
      options.plugin ?? cache,
      identify,
      ...(options.further ?? []),
    ],
    clock,
    upstream,
    ...(options.redisUrl === undefined ? {} : { redisUrl: options.redisUrl }),
    ...(options.env === undefined ? {} : { env: options.env }),
  });
  const agent = new http.Agent({ keepAlive: true, maxSockets: 512 });
  return {
    sidecar,
    clock,
    asked,
    ask: (target, how) => ask(sidecar.port, agent, target, how),
    async counted(result) {
      const line = new RegExp(`^outrigger_cache_requests_total\\{.*result="${result}".*\\} (\\d+)$`, "m");
      return Number(line.exec(await sidecar.metrics())?.[1] ?? 0);
    },
    async stop() {
      agent.destroy();
      await sidecar.stop();
    },
  };
}

/** One request to a port on loopback. */
export function ask(
  port: number,
  agent: http.Agent | undefined,
  target: string,
  { method = "GET", headers = {}, body, signal }: AskOptions = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = http.request({
      host: "127.0.0.1",
      port,
      method,
      path: target,
      headers: { host: "api.example", ...headers },
      ...(agent === undefined ? {} : { agent }),
      ...(signal === undefined ? {} : { signal }),
    });
    request.on("error", reject);
    request.on("response", (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const whole = Buffer.concat(chunks);
        resolve({
          status: response.statusCode ?? 0,
          reason: response.statusMessage,
          headers: response.headers,
          rawHeaders: response.rawHeaders,
          body: whole,
          text: whole.toString(),
          cache: response.headers["x-cache"] as string | undefined,
        });
      });
    });
    request.end(body);
  });
}

/** A service that answers every request with these fields and `answer <count>`. */
export function answering(fields: http.OutgoingHttpHeaders, status = 200): BenchOptions["service"] {
  return (_request, response, count) => {
    response.writeHead(status, fields);
    response.end(`answer ${count}`);
  };
}

/** A promise with its ends outside. */
export function gate(): { readonly opened: Promise<void>; open(): void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: resolve };
}

/** Lets everything that is ready run, until the condition holds; fails after five seconds. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 5_000;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`did not come: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
