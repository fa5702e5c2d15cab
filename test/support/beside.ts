// Clients that run beside an attack: they must not notice it.
import assert from "node:assert/strict";
import http from "node:http";
import { setTimeout as pause } from "node:timers/promises";

export interface Beside {
  readonly answered: number;
  /** Outcomes other than 200: statuses, and error codes of broken requests. */
  readonly failures: readonly string[];
  readonly p99Ms: number;
}

const connections = 64;
/** Six requests a second on each connection: a sidecar that stalls is seen by many of them. */
const pauseMs = 160;

/** Keeps 64 connections asking over and over, from before the work begins until it is done. */
export async function besideOf(url: string, work: () => Promise<unknown>): Promise<Beside> {
  const agent = new http.Agent({ keepAlive: true, maxSockets: connections });
  const failures: string[] = [];
  const times: number[] = [];
  const over = new AbortController();
  const ask = async (): Promise<void> => {
    const startedMono = performance.now();
    const outcome = await outcomeOf(url, agent);
    times.push(performance.now() - startedMono);
    if (outcome !== "200") failures.push(outcome);
  };
  const askOn = async (): Promise<void> => {
    while (!over.signal.aborted) {
      await ask();
      await pause(pauseMs);
    }
  };
  // Connections are made before the measurement: their cost does not count as an effect of the attack.
  await Promise.all(Array.from({ length: connections }, ask));
  times.length = 0;
  const asking = Array.from({ length: connections }, askOn);
  try {
    await work();
  } finally {
    over.abort();
    await Promise.all(asking);
    agent.destroy();
  }
  times.sort((a, b) => a - b);
  return { answered: times.length, failures, p99Ms: times[Math.floor(times.length * 0.99)] ?? 0 };
}

function outcomeOf(url: string, agent: http.Agent): Promise<string> {
  return new Promise((resolve) => {
    http
      .get(url, { agent }, (answer) =>
        answer.resume().once("close", () => resolve(String(answer.statusCode))),
      )
      .once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}

export function assertUnharmed({ answered, failures, p99Ms }: Beside, maxP99Ms: number): void {
  assert.ok(answered >= connections, `only ${answered} requests were answered`);
  assert.deepEqual(failures, []);
  assert.ok(p99Ms < maxP99Ms, `the 99th percentile beside was ${Math.round(p99Ms)} ms`);
}
