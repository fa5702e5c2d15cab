// What goes on beside the clients: policies change, Redis freezes and restarts, operators leave before they are answered.
import { connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { RedisServer } from "../../support/redis.ts";
import { Dice } from "./dice.ts";
import type { Run } from "./ledger.ts";

export interface Ports {
  readonly http1: number;
  readonly http2: number;
}

/** @param turn of the policy: odd ones and even ones do not say the same */
export function policyOf(turn: number, { http1, http2 }: Ports): Readonly<Record<string, unknown>> {
  const service = `http://127.0.0.1:${http1}`;
  const limit = { name: "a", by: "ip", limit: 50 + (turn % 7), window: "1s" };
  const mode = turn % 3 === 0 ? "exact" : "leased";
  const cache = { ttlSeconds: 1, staleIfErrorSeconds: 2, staleWhileRevalidateSeconds: 1 };
  const isOdd = turn % 2 === 1;
  return {
    apiVersion: "outrigger/v1",
    plugins: ["logging", "transform", "cors"],
    pluginConfig: { transform: { addResponseHeaders: { "X-Policy": String(turn) } } },
    upstreams: {
      two: {
        endpoints: [service, `http://localhost:${http1}`],
        outlier: { consecutiveFailures: 3, baseEjectionMs: 500 },
      },
    },
    routes: [
      { path: "/*", timeout: 700 },
      {
        path: "/retry/*",
        timeout: 900,
        retry: { backoffMs: 5 },
        ...(isOdd ? { bufferRequestBytes: 1_000 } : {}),
      },
      {
        path: "/h2/*",
        timeout: 700,
        upstream: `http://127.0.0.1:${http2}`,
        upstreamProtocol: "h2c",
        ...(isOdd ? { retry: { backoffMs: 5 } } : {}),
      },
      { path: "/two/*", timeout: 700, upstream: "two", retry: {} },
      { path: "/cache/*", timeout: 700, plugins: ["logging", "cache", "transform"], pluginConfig: { cache } },
      { path: "/auth/*", timeout: 700, plugins: ["logging", "auth"] },
      {
        path: "/rl/*",
        timeout: 700,
        plugins: ["logging", "rate-limit"],
        pluginConfig: { "rate-limit": { limits: [{ ...limit, mode }] } },
      },
      { path: "/comp/*", timeout: 700, plugins: ["logging", "compress"] },
    ],
  };
}

export async function setPolicy(redis: RedisServer, turn: number, ports: Ports): Promise<void> {
  await redis.cli.set("outrigger:policy", JSON.stringify(policyOf(turn, ports)));
}

/** Resolves when the run is over and Redis is well. */
export async function disturb(run: Run, redis: RedisServer, admin: number, ports: Ports): Promise<void> {
  await Promise.all([changePolicies(run, redis, ports), breakRedis(run, redis, ports), askAdmin(run, admin)]);
}

/** @returns false when the run is over */
async function isOn(run: Run, ms: number): Promise<boolean> {
  await delay(ms, undefined, { signal: run.over }).catch(() => undefined);
  return !run.over.aborted;
}

async function changePolicies(run: Run, redis: RedisServer, ports: Ports): Promise<void> {
  const dice = new Dice(run.seed, "policies");
  for (let turn = 1; await isOn(run, 200 + dice.below(1_500)); turn += 1) {
    // While Redis is away, the change is lost.
    void setPolicy(redis, turn, ports).catch(() => undefined);
  }
}

async function breakRedis(run: Run, redis: RedisServer, ports: Ports): Promise<void> {
  const dice = new Dice(run.seed, "Redis");
  while (await isOn(run, 8_000 + dice.below(10_000))) {
    if (dice.oneIn(3)) {
      redis.freeze();
      await isOn(run, 3_000);
      redis.thaw();
    } else {
      await redis.restart();
      await setPolicy(redis, 1, ports);
    }
  }
}

async function askAdmin(run: Run, port: number): Promise<void> {
  const dice = new Dice(run.seed, "operators");
  for (let isBusy = true; isBusy;) {
    const socket = connect(port, "127.0.0.1").on("error", () => {});
    const asked = ["GET /metrics", "POST /drain", "GET /tap"].map(
      (line, nth) => `${line} HTTP/1.1\r\nHost: ${nth === 1 ? "evil" : "127.0.0.1"}\r\n\r\n`,
    );
    socket.write(dice.pick([...asked, "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n"]));
    socket.pause();
    isBusy = await isOn(run, dice.below(2_000));
    socket.destroy();
  }
}
