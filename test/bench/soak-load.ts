// Generates the traffic of a soak: everything that clients do, well and badly, in a fixed mixture and a fixed order for
// each client.
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { WebSocket } from "ws";

export interface SoakLoad {
  /** Number of exchanges so far, by action and outcome. */
  readonly counts: Map<string, number>;
  /** Resolves when every client has finished its action. */
  stop(): Promise<void>;
}

interface Ask {
  readonly path: string;
  readonly method?: string;
  readonly headers?: http.OutgoingHttpHeaders;
  readonly body?: string | Buffer;
  /** Aborts this long after the request was sent. */
  readonly abortMs?: number;
}

const clients = 24;
const limitMs = 10_000;

/** @param key an API key that the sidecar knows */
export function startLoad(port: number, key: string): SoakLoad {
  const counts = new Map<string, number>();
  const agent = new http.Agent({ keepAlive: true, maxSockets: clients });
  const stop = new AbortController();
  const client = async (seed: number): Promise<void> => {
    // Numerical Recipes' linear congruential generator: every client does the same in every run.
    let state = seed;
    const random = (below: number): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state % below;
    };
    while (!stop.signal.aborted) {
      const [name, act] = actions[random(actions.length)] as (typeof actions)[number];
      const result = await act({ port, key, agent, random });
      counts.set(`${name} ${result}`, (counts.get(`${name} ${result}`) ?? 0) + 1);
      await delay(random(20));
    }
  };
  const all = Promise.all(Array.from({ length: clients }, (_, i) => client(i + 1)));
  return {
    counts,
    async stop() {
      stop.abort();
      await all;
      agent.destroy();
    },
  };
}

interface Scene {
  readonly port: number;
  readonly key: string;
  readonly agent: http.Agent;
  readonly random: (below: number) => number;
}

/** @returns the status, or how the request ended without one */
function ask(
  { port, agent }: Scene,
  { path, method = "GET", headers = {}, body, abortMs }: Ask,
): Promise<string> {
  return new Promise((resolve) => {
    const request = http.request({ port, host: "127.0.0.1", path, method, headers, agent, timeout: limitMs });
    const abort = abortMs === undefined ? undefined : setTimeout(() => request.destroy(), abortMs);
    const end = (result: string): void => {
      clearTimeout(abort);
      resolve(result);
    };
    const broken = (): void => end(abortMs === undefined ? "broken" : "left");
    request.on("error", broken);
    request.once("timeout", () => {
      end("HUNG");
      request.destroy();
    });
    request.once("response", (response) => {
      let text = "";
      response.on("data", (bytes: Buffer) => (text = bytes.toString("latin1").slice(0, 1_000)));
      response.on("error", broken).once("close", broken);
      response.once("end", () =>
        end(`${response.statusCode} ${/"code":"(\w+)"/.exec(text)?.[1] ?? ""}`.trim()),
      );
    });
    request.end(body);
  });
}

/** Sends bytes and closes when an answer comes, or a moment later. */
async function raw({ port, random }: Scene, bytes: string): Promise<string> {
  const socket = net.connect({ port, host: "127.0.0.1" }).on("error", () => {});
  await once(socket, "connect").catch(() => {});
  socket.write(bytes);
  const came = await Promise.race([once(socket, "data"), delay(random(100))]).catch(() => undefined);
  if (random(2) === 0) socket.resetAndDestroy();
  else socket.destroy();
  return came === undefined ? "left" : "answered";
}

async function webSocket({ port, key, random }: Scene): Promise<string> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/api/socket`, { headers: { "x-api-key": key } });
  socket.on("error", () => {});
  if (random(4) === 0) {
    await delay(random(5));
    socket.terminate();
    return "left";
  }
  const opened = await Promise.race([
    once(socket, "open").then(() => true),
    once(socket, "close").then(() => false),
  ]).catch(() => false);
  if (!opened) return "refused";
  socket.send("x".repeat(random(50_000)));
  await Promise.race([once(socket, "message"), delay(limitMs)]);
  if (random(2) === 0) socket.close();
  else socket.terminate();
  await once(socket, "close");
  return "echoed";
}

const withKey = (scene: Scene, order: Ask): Promise<string> =>
  ask(scene, { ...order, headers: { "x-api-key": scene.key, ...order.headers } });
const half = (path: string): string =>
  `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n${"x".repeat(1_000)}`;

/** Each action is chosen as often as it is listed. */
const actions: readonly (readonly [string, (scene: Scene) => Promise<string>])[] = [
  ...Array.from(
    { length: 8 },
    () => ["plain", (scene: Scene) => withKey(scene, { path: "/api/a?b=1" })] as const,
  ),
  ...Array.from(
    { length: 4 },
    () =>
      [
        "cacheable",
        (scene: Scene) => withKey(scene, { path: `/api/cacheable?n=${scene.random(500)}` }),
      ] as const,
  ),
  ["new key", (scene) => ask(scene, { path: "/api/a", headers: { "x-api-key": `no-${scene.random(1e9)}` } })],
  ["no key", (scene) => ask(scene, { path: "/api/a" })],
  ["new path", (scene) => ask(scene, { path: `/nowhere/${scene.random(1e9)}` })],
  ["wrong method", (scene) => ask(scene, { path: "/api/get-only", method: "DELETE" })],
  [
    "preflight",
    (scene) =>
      ask(scene, {
        path: "/api/a",
        method: "OPTIONS",
        headers: { origin: "https://app.example", "access-control-request-method": "PUT" },
      }),
  ],
  [
    "upload",
    (scene) => withKey(scene, { path: "/api/a", method: "POST", body: Buffer.alloc(scene.random(300_000)) }),
  ],
  ["echo", (scene) => withKey(scene, { path: "/api/echo", method: "POST", body: Buffer.alloc(200_000) })],
  [
    "refused upload",
    (scene) => ask(scene, { path: "/api/a", method: "POST", body: Buffer.alloc(scene.random(300_000)) }),
  ],
  [
    "early answer",
    (scene) => withKey(scene, { path: "/api/early", method: "POST", body: Buffer.alloc(300_000) }),
  ],
  ["large", (scene) => withKey(scene, { path: "/api/large" })],
  ["large, left", (scene) => withKey(scene, { path: "/api/large", abortMs: scene.random(10) })],
  ["events, left", (scene) => withKey(scene, { path: "/api/events", abortMs: scene.random(300) })],
  ["never, left", (scene) => withKey(scene, { path: "/api/never", abortMs: scene.random(100) })],
  ["never", (scene) => withKey(scene, { path: "/api/never" })],
  ["breaks", (scene) => withKey(scene, { path: "/api/breaks" })],
  ["hangs up", (scene) => withKey(scene, { path: "/api/hangs-up" })],
  ["dead upstream", (scene) => withKey(scene, { path: "/dead" })],
  ["half a body", (scene) => raw(scene, half("/open/a"))],
  ["half a head", (scene) => raw(scene, "GET / HTTP/1.1\r\nHo")],
  ["malformed", (scene) => raw(scene, "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n")],
  ["garbage", (scene) => raw(scene, "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")],
  ["pipelined, left", (scene) => raw(scene, "GET /open/a HTTP/1.1\r\nHost: a\r\n\r\n".repeat(50))],
  ["upgrade", webSocket],
];
