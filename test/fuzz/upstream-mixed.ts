// Runs mixed exchanges over the pooled transport, with a service and clients that reset, stall, end early and give up
// at random: no answer may reach another exchange, no request may run twice, nothing may be left over.
// node test/fuzz/upstream-mixed.ts [exchanges] [seed]
import assert from "node:assert/strict";
import { createPooledTransport } from "../../src/upstream/pooled-transport.ts";
import type { UpstreamRequest, UpstreamTransport } from "../../src/upstream/transport.ts";
import { RecordedExchange, type Result } from "../support/recorded-exchange.ts";
import { startRawServer } from "../support/raw-server.ts";
import { targetOf, turns } from "../support/transport/scene.ts";
import { seeded } from "./seeded.ts";
import { type Act, acts, bodyOf, FuzzService } from "./upstream-service.ts";

const CONCURRENCY = 48;
const LIMIT_MS = 400;

/** Errors in which an act may end; all other acts have to be answered. */
const errorsOf: Partial<Record<Act, readonly string[]>> = {
  // A reset also discards bytes that were not read yet.
  "then-reset": ["upstream_reset"],
  "end-before": ["upstream_reset"],
  "reset-before": ["upstream_reset"],
  "reset-head": ["upstream_reset"],
  "end-body": ["upstream_reset"],
  "reset-body": ["upstream_reset"],
  "stall-before": ["upstream_timeout"],
  "stall-body": ["upstream_timeout"],
  garbage: ["upstream_invalid_response"],
};

/** Service and transport share this process: while it is blocked, time limits pass that neither of them missed. */
let heldUpAt = 0;
function watchForHoldUps(): NodeJS.Timeout {
  let last = performance.now();
  return setInterval(() => {
    const now = performance.now();
    if (now - last > LIMIT_MS / 4) heldUpAt = now;
    last = now;
  }, 10);
}

interface Plan {
  readonly nonce: string;
  readonly act: Act;
  readonly request: UpstreamRequest;
  readonly bodyBytes: number;
  readonly answerBytes: number;
  /** When the client gives up. */
  readonly giveUp: "never" | "at once" | "soon" | "at the head" | "at data";
  readonly pauses: boolean;
}

function plan(index: number, random: () => number): Plan {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  // The service behaves badly about every fifth time: most connections live for several exchanges.
  const act = random() < 0.3 ? pick(acts) : pick(["length", "chunked", "interim", "then-end"] as const);
  const kind = pick(["none", "none", "none", "memory", "length", "chunked"] as const);
  const method = kind === "none" ? pick(["GET", "GET", "HEAD", "DELETE"]) : pick(["POST", "PUT"]);
  const nonce = `n${index}`;
  const bodyBytes = kind === "none" ? 0 : 1 + Math.floor(random() ** 4 * 150_000);
  const answerBytes = 2 + Math.floor(random() ** 4 * 150_000);
  const fields = [
    "Host",
    "service.test",
    "X-Nonce",
    nonce,
    "X-Act",
    act,
    "X-Answer-Bytes",
    String(answerBytes),
  ];
  if (kind === "chunked") fields.push("Transfer-Encoding", "chunked");
  else if (kind !== "none") fields.push("Content-Length", String(bodyBytes));
  let body: UpstreamRequest["body"] = "none";
  if (kind === "memory") body = Buffer.from(bodyOf(nonce, bodyBytes));
  else if (kind !== "none") body = "stream";
  return {
    nonce,
    act,
    request: { method, target: `/${index}`, fields, body, connectTimeoutMs: 20_000, timeoutMs: LIMIT_MS },
    bodyBytes,
    answerBytes,
    giveUp: random() < 0.8 ? "never" : pick(["at once", "soon", "at the head", "at data"] as const),
    pauses: random() < 0.2,
  };
}

function faultsOf({ nonce, act, request, answerBytes }: Plan, result: Result): string[] {
  const { method, body } = request;
  const faults: string[] = [];
  const expected = method === "HEAD" ? "" : bodyOf(nonce, answerBytes);
  const said = result.fields[1];
  if (said !== undefined && said !== nonce) faults.push(`${nonce} got the answer of ${said}`);
  const code = result.error?.code;
  if (code === undefined) {
    if (result.body !== expected)
      faults.push(`${nonce} (${act}) got a wrong body of ${result.body.length} bytes`);
  } else {
    if (!expected.startsWith(result.body)) faults.push(`${nonce} got foreign bytes before it failed`);
    // A request that cannot be sent again may meet a connection that the service closes just then.
    const once = method === "POST" || body === "stream";
    const allowed = [...(errorsOf[act] ?? []), ...(once ? ["upstream_reset"] : [])];
    if (!allowed.includes(code)) faults.push(`${nonce} (${method} ${act}) failed with ${code}`);
  }
  return faults;
}

async function run(transport: UpstreamTransport, each: Plan, random: () => number): Promise<string[]> {
  const startedAt = performance.now();
  let gaveUp!: () => void;
  const givenUp = new Promise<undefined>((resolve) => (gaveUp = () => resolve(undefined)));
  const giveUp = (exchange: RecordedExchange): void => {
    exchange.abort();
    gaveUp();
  };
  const exchange = new RecordedExchange(transport, each.request, {
    onHead: (self) => each.giveUp === "at the head" && giveUp(self),
    onData: (_chunk, self) => {
      if (each.giveUp === "at data") giveUp(self);
      if (!each.pauses || random() < 0.5) return true;
      setImmediate(() => self.resume());
      return false;
    },
  });
  if (each.giveUp === "at once") giveUp(exchange);
  else if (each.giveUp === "soon") void turns(1 + Math.floor(random() * 4)).then(() => giveUp(exchange));
  const over = Promise.race([exchange.result, givenUp]);
  if (each.request.body === "stream") await streamBody(exchange, each, over);
  const result = await over;
  if (result?.error?.code === "upstream_timeout" && heldUpAt >= startedAt) return exchange.broken;
  return [...exchange.broken, ...(result === undefined ? [] : faultsOf(each, result))];
}

/** Sends the body in four parts, until the exchange is over. */
async function streamBody(exchange: RecordedExchange, each: Plan, over: Promise<unknown>): Promise<void> {
  let isOver = false;
  void over.then(() => (isOver = true));
  const body = Buffer.from(bodyOf(each.nonce, each.bodyBytes));
  const step = Math.ceil(body.length / 4);
  for (let at = 0; at < body.length; at += step) {
    if (!exchange.call.write(body.subarray(at, at + step))) await Promise.race([exchange.drained(), over]);
    else await turns(1);
    if (isOver) return;
  }
  exchange.call.end();
}

/** @returns the number of exchanges by outcome; throws at the first faults */
export async function fuzzUpstream(
  exchanges: number,
  seed: number,
): Promise<{ seed: number; connections: number }> {
  const random = seeded(seed);
  const service = new FuzzService();
  const server = await startRawServer(service.script);
  const transport = createPooledTransport(targetOf(server, {}), {
    maxConnections: 16,
    maxQueued: CONCURRENCY,
    idleTimeoutMs: 4000,
  });
  const faults: string[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < exchanges && faults.length === 0) {
      next += 1;
      faults.push(...(await run(transport, plan(next, random), random)));
    }
  };
  const watch = watchForHoldUps();
  try {
    await Promise.all(Array.from({ length: CONCURRENCY }, worker));
    transport.close();
    assert.deepEqual([...faults, ...service.faults], [], `seed ${seed}`);
    assert.deepEqual(transport.counts(), { active: 0, idle: 0, queued: 0, upgraded: 0 });
    await Promise.all(server.peers.map((peer) => peer.ended));
    return { seed, connections: server.peers.length };
  } finally {
    clearInterval(watch);
    await server.close();
  }
}

if (import.meta.main) {
  const exchanges = Number(process.argv[2] ?? 100_000);
  const seed = Number(process.argv[3] ?? Date.now() % 1_000_000);
  console.log(`${exchanges} exchanges, seed ${seed}`);
  const { connections } = await fuzzUpstream(exchanges, seed);
  console.log(`no faults; ${connections} connections`);
}
