// Generates a load in which few URLs get most requests and most URLs few (Zipf, s = 1), and the service that receives
// it.
import http from "node:http";
import type { AddressInfo } from "node:net";
import { pause } from "./processes.ts";

export interface CountingService {
  readonly port: number;
  /** Number of requests since the last call. */
  taken(): number;
  stop(): void;
}

/** Starts a service that answers 2,000 bytes, fresh for ten minutes, after that many milliseconds. */
export async function countingService(answerAfterMs: number): Promise<CountingService> {
  let asked = 0;
  const body = Buffer.alloc(2_000, "x");
  const service = http.createServer((_request, response) => {
    asked += 1;
    const answer = (): void => {
      response.writeHead(200, { "Cache-Control": "max-age=600", "Content-Length": body.length }).end(body);
    };
    if (answerAfterMs === 0) answer();
    else setTimeout(answer, answerAfterMs);
  });
  service.keepAliveTimeout = 600_000;
  await new Promise<void>((resolve) => service.listen(0, "127.0.0.1", resolve));
  return {
    port: (service.address() as AddressInfo).port,
    taken() {
      const before = asked;
      asked = 0;
      return before;
    },
    stop() {
      service.closeAllConnections();
      service.close();
    },
  };
}

/** Paths from `/item/1` to `/item/<urls>`, drawn with weight 1 / rank; the same series every time. */
export function zipfTargets(urls: number, count: number): string[] {
  const sums = new Float64Array(urls);
  let sum = 0;
  for (let rank = 1; rank <= urls; rank += 1) sums[rank - 1] = sum += 1 / rank;
  let state = 42;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const point = (state / 2 ** 32) * sum;
    return `/item/${sums.findIndex((upTo) => upTo >= point) + 1}`;
  });
}

/**
 * Sends one request every `everyMs`, whatever the answers do.
 * @returns sorted times to the last byte, ms
 */
export async function openLoad(port: number, targets: readonly string[], everyMs: number): Promise<number[]> {
  const agent = new http.Agent({ keepAlive: true });
  const began = performance.now();
  const times = await Promise.all(
    targets.map(async (path, index) => {
      await pause(began + index * everyMs - performance.now());
      return ask(port, path, agent);
    }),
  );
  agent.destroy();
  return times.sort((a, b) => a - b);
}

/** Sends eight requests at a time, as fast as they are answered. */
export async function closedLoad(port: number, targets: readonly string[]): Promise<void> {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
  let next = 0;
  const one = async (): Promise<void> => {
    while (next < targets.length) await ask(port, targets[next++] as string, agent);
  };
  await Promise.all(Array.from({ length: 8 }, one));
  agent.destroy();
}

function ask(port: number, path: string, agent: http.Agent): Promise<number> {
  const sent = performance.now();
  return new Promise((resolve, reject) => {
    http
      .get({ host: "127.0.0.1", port, path, agent }, (answer) => {
        if (answer.statusCode !== 200) reject(new Error(`${path} was answered ${answer.statusCode}`));
        answer.resume().once("end", () => resolve(performance.now() - sent));
      })
      .on("error", reject);
  });
}
