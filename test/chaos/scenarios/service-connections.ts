// Services that accept connections and then do not behave as expected.
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { Worker } from "node:worker_threads";
import { startRawServer } from "../../support/raw-server.ts";
import type { Scene } from "../../support/scene.ts";
import type { Scenario } from "../scenario.ts";

interface Seen {
  readonly status: number;
  readonly code: string;
  readonly retryAfter: string | undefined;
}

/** Resolves with the answer and its problem code; status 0 = no answer. */
function ask(url: string, method: string, agent: http.Agent): Promise<Seen> {
  return new Promise((resolve) => {
    const body = method === "POST" || method === "PUT" ? "hello" : undefined;
    const request = http.request(url, { method, agent }, (answer) => {
      let text = "";
      answer.on("data", (chunk: Buffer) => (text += chunk.toString()));
      answer.once("close", () => {
        const code = /"code":"(\w+)"/.exec(text)?.[1] ?? "";
        resolve({ status: answer.statusCode ?? 0, code, retryAfter: answer.headers["retry-after"] });
      });
    });
    request.once("error", (error: NodeJS.ErrnoException) =>
      resolve({ status: 0, code: error.code ?? "", retryAfter: undefined }),
    );
    request.end(body);
  });
}

/** Counts equal texts. @returns the counts as text */
function tally(texts: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  return [...counts].map(([text, count]) => `${count} x ${text}`).join(", ");
}

async function silentService(scene: Scene): Promise<string> {
  const service = await startRawServer(() => {});
  scene.after(() => service.close());
  const sidecar = await scene.sidecar({
    policy: { plugins: ["logging"], routes: [{ path: "/*", timeout: 3_000 }] },
    upstream: `http://127.0.0.1:${service.port}`,
    env: { OUTRIGGER_UPSTREAM_QUEUE: "200", OUTRIGGER_UPSTREAM_CONNECT_TIMEOUT_MS: "1000" },
  });
  const agent = new http.Agent({ keepAlive: false });
  scene.after(() => agent.destroy());
  const asked = Array.from({ length: 500 }, () => ask(sidecar.url, "GET", agent));
  const answers = await Promise.all(asked);
  const codes = answers.map(({ code }) => code);
  assert.deepEqual(new Set(codes), new Set(["overloaded", "upstream_timeout"]), tally(codes));
  const shed = answers.filter(({ code }) => code === "overloaded");
  assert.ok(shed.every(({ status, retryAfter }) => status === 503 && retryAfter === "1"));
  return tally(codes);
}

async function closingService(scene: Scene): Promise<string> {
  const service = new Worker(new URL("../../support/closing-service.ts", import.meta.url));
  scene.after(() => service.terminate());
  const [port] = (await once(service, "message")) as [number];
  const sidecar = await scene.sidecar({
    policy: { plugins: ["logging"] },
    upstream: `http://127.0.0.1:${port}`,
  });
  const agent = new http.Agent({ keepAlive: true });
  scene.after(() => agent.destroy());
  const methods = ["GET", "POST", "PUT", "DELETE"];
  const seen: string[] = [];
  const client = async (): Promise<void> => {
    for (let i = 0; i < 40; i += 1) {
      const method = methods[i % methods.length] as string;
      seen.push(`${method} ${(await ask(sidecar.url, method, agent)).status}`);
    }
  };
  await Promise.all(Array.from({ length: 32 }, client));
  const failed = seen.filter((each) => !each.endsWith(" 200"));
  assert.deepEqual(failed, [], tally(seen));
  return tally(seen);
}

export const scenarios: readonly Scenario[] = [
  {
    group: "service",
    fault: "accepts connections and never answers; 500 clients, 128 connections, 200 places to wait",
    promised: "who waited for a connection in vain gets 503 overloaded with Retry-After, who had one 504",
    run: silentService,
  },
  {
    group: "service",
    fault: "ends its connection right behind each answer without Connection: close; 32 clients",
    promised: "every GET, POST, PUT and DELETE is answered 200",
    run: closingService,
  },
];
