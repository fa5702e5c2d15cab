// The end of a sidecar while clients use it.
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { WebSocket, WebSocketServer } from "ws";
import type { Scene } from "../../support/scene.ts";
import type { Scenario } from "../scenario.ts";

/** Asks one after the other until nobody listens. @returns every failure but the refusal of a new connection */
async function hammer(url: string, agent: http.Agent): Promise<{ answered: number; failures: string[] }> {
  const failures: string[] = [];
  let answered = 0;
  for (;;) {
    const code = await new Promise<string | undefined>((resolve) => {
      http
        .get(url, { agent }, (answer) => answer.resume().once("close", () => resolve(undefined)))
        .once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "?"));
    });
    if (code === "ECONNREFUSED") return { answered, failures };
    if (code === undefined) answered += 1;
    else failures.push(code);
  }
}

async function underLoad(scene: Scene): Promise<string> {
  const sidecar = await scene.sidecar({
    policy: { plugins: ["logging"] },
    upstream: (_request, response) => response.end("ok"),
    env: { OUTRIGGER_DRAIN_MS: "2000" },
  });
  const kept = new http.Agent({ keepAlive: true });
  const anew = new http.Agent({ keepAlive: false });
  scene.after(() => [kept, anew].forEach((agent) => agent.destroy()));
  const agents = [...Array.from({ length: 13 }, () => kept), ...Array.from({ length: 24 }, () => anew)];
  const clients = agents.map((agent) => hammer(sidecar.url, agent));
  await sidecar.line((line) => line["msg"] === "request");
  await Promise.all([sidecar.stop(), ...clients]);
  const all = await Promise.all(clients);
  const answered = all.reduce((sum, each) => sum + each.answered, 0);
  const failures = all.flatMap((each) => each.failures);
  // The one connection that the kernel may hold, unaccepted, when it closes the listening socket.
  assert.ok(failures.length <= 1, `${failures.length} broken off beside ${answered} answered`);
  return `${answered} answered, ${failures.length} broken off; new connections are refused at the end`;
}

async function webSocket(scene: Scene): Promise<string> {
  const sidecar = await scene.sidecar({
    policy: { plugins: ["logging"] },
    upstream: (_request, response) => response.end("ok"),
    env: { OUTRIGGER_DRAIN_MS: "3000" },
  });
  const sockets = new WebSocketServer({ server: sidecar.service as http.Server });
  const served = once(sockets, "connection") as Promise<[WebSocket]>;
  const client = new WebSocket(`ws://127.0.0.1:${sidecar.port}/`);
  await once(client, "open");
  const [service] = await served;
  const closed = Promise.all([once(client, "close"), once(service, "close")]);
  await sidecar.stop();
  const [[clientCode], [serviceCode]] = await closed;
  assert.deepEqual([clientCode, serviceCode], [1001, 1001]);
  return "both got 1001";
}

export const scenarios: readonly Scenario[] = [
  {
    group: "process",
    fault: "told to end under load: 13 kept-alive clients, 24 with a connection a request",
    promised:
      "all are answered until new connections are refused, but for one that the kernel may still hold",
    run: underLoad,
  },
  {
    group: "process",
    fault: "told to end with a WebSocket open",
    promised: "client and service get close frame 1001",
    run: webSocket,
  },
];
