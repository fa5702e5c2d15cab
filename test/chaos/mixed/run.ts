// One run of mixed traffic, from the start of a sidecar to its end.
import { type TestCrew, startCrew } from "../../support/crew.ts";
import { killed } from "../../support/process.ts";
import { eventually, freePort, type RedisServer } from "../../support/redis.ts";
import { inScene, type Scene } from "../../support/scene.ts";
import { comesToRest, drains, heldMemory, logBalances, measure } from "./balance.ts";
import { http1Client } from "./client-http1.ts";
import { Http2Clients } from "./client-http2.ts";
import { webSocketClient } from "./client-websocket.ts";
import { Dice } from "./dice.ts";
import { disturb, type Ports, setPolicy } from "./disturber.ts";
import { Ledger, type Run } from "./ledger.ts";
import { startHttp1Service, startHttp2Service } from "./services.ts";

export const kinds = ["http1", "http2", "websocket"] as const;
export type Kind = (typeof kinds)[number];

export interface Settings {
  readonly seconds: number;
  readonly seed: number;
  readonly clients: number;
  readonly traffic: readonly Kind[];
}

/** Of ten exchanges. */
const shares: Readonly<Record<Kind, number>> = { http1: 6, http2: 3, websocket: 1 };
/** For the start, the rest at the end, and the drain. */
const aroundMs = 120_000;

/** @returns the ledger, and a line about what was done */
export async function runMixed(
  settings: Settings,
  print: (line: string) => void,
): Promise<{ readonly ledger: Ledger; readonly summary: string }> {
  const ledger = new Ledger(print);
  const over = new AbortController();
  const run: Run = { seed: settings.seed, ledger, over: over.signal };
  const summary = await inScene(settings.seconds * 1_000 + aroundMs, async (scene) => {
    const ports = { http1: await startHttp1Service(scene, run), http2: await startHttp2Service(scene, run) };
    const redis = await scene.redis();
    await setPolicy(redis, 0, ports);
    const inspector = await freePort();
    const crew = await startSidecar(scene, redis, ports, inspector);
    const before = await measure(crew, inspector);
    void crew.end.then(() => over.abort());
    const timer = setTimeout(() => over.abort(), settings.seconds * 1_000);
    const admin = Number(new URL(crew.adminUrl).port);
    await Promise.all([traffic(run, crew.port, settings), disturb(run, redis, admin, ports)]);
    clearTimeout(timer);
    if (crew.child.exitCode !== null || crew.child.signalCode !== null) {
      const { code, signal, stderr } = await crew.end;
      ledger.fault("the sidecar has ended", `${String(signal ?? code)} ${stderr}`);
      return "";
    }
    await comesToRest(crew, before, ledger);
    const after = await measure(crew, inspector);
    heldMemory(before, after, ledger);
    const counted = await crew.metric("outrigger_requests_total{");
    await drains(crew, ledger);
    const logged = logBalances(crew, counted, ledger);
    const memory = `${before.liveMiB.toFixed(1)} -> ${after.liveMiB.toFixed(1)} MiB live`;
    const files = `${before.descriptors} -> ${after.descriptors} descriptors`;
    return `${ledger.asked.size} asked, ${ledger.answered.size} answered, ${logged} logged; ${files}, ${memory}`;
  });
  return { ledger, summary };
}

async function startSidecar(
  scene: Scene,
  redis: RedisServer,
  { http1, http2 }: Ports,
  inspector: number,
): Promise<TestCrew> {
  const crew = await startCrew({
    workers: 1,
    upstream: `http://127.0.0.1:${http1}`,
    env: {
      NODE_OPTIONS: `--inspect=127.0.0.1:${inspector} --inspect-publish-uid=http`,
      OUTRIGGER_SERVICE: "mixed",
      OUTRIGGER_UPSTREAM_ALLOW: `127.0.0.1:${http2},127.0.0.1:${http1},localhost:${http1}`,
      OUTRIGGER_UPSTREAM_CONNECT_TIMEOUT_MS: "600",
      // All clients have one address.
      OUTRIGGER_CLIENT_SHARE: "100",
      OUTRIGGER_MAX_BODY_BYTES: "300000",
      OUTRIGGER_CLIENT_STALL_MS: "2000",
      OUTRIGGER_HEADER_TIMEOUT_MS: "2000",
      REDIS_URL: redis.url,
    },
  });
  scene.after(() => killed(crew.child));
  await eventually("the sidecar is ready", async () => (await crew.ready()) === 200);
  return crew;
}

async function traffic(run: Run, port: number, { clients, seed, traffic }: Settings): Promise<void> {
  const http2 = new Http2Clients(run, port);
  const mixture = traffic.flatMap((kind) => Array.from({ length: shares[kind] }, () => kind));
  const ask = (kind: Kind, dice: Dice, id: string): Promise<void> => {
    if (kind === "http1") return http1Client(run, port, dice, id);
    return kind === "http2" ? http2.request(dice, id) : webSocketClient(run, port, dice, id);
  };
  const client = async (number: number): Promise<void> => {
    for (let turn = 0; !run.over.aborted; turn += 1) {
      const id = `c${number}-${turn}`;
      const dice = new Dice(seed, `client ${id}`);
      await ask(dice.pick(mixture), dice, id);
    }
  };
  await Promise.all(Array.from({ length: clients }, (_, number) => client(number)));
  http2.close();
}
