// Many more clients with requests in flight than there are connections to the service.
import assert from "node:assert/strict";
import type http from "node:http";
import net from "node:net";
import { after, test } from "node:test";
import { eventually } from "../support/redis.ts";
import { startSidecar } from "../support/sidecar.ts";

const connections = 4_000;
const toService = 128;

const held: http.ServerResponse[] = [];
let most = 0;
let answered = 0;
let isOpen = false;

const sidecar = await startSidecar({
  // How long they wait here is the machine's matter; how many wait is the default.
  policy: { plugins: [], routes: [{ path: "/*", timeout: 120_000 }] },
  upstream: (_request, response) => {
    if (isOpen) response.end("served");
    else most = Math.max(most, held.push(response));
  },
  env: { OUTRIGGER_UPSTREAM_CONNECT_TIMEOUT_MS: "120000" },
});
after(() => sidecar.stop());

/** Resolves with the status of the answer to one request over a connection of its own. */
function ask(sockets: net.Socket[], client: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    const socket = net.connect({ port: sidecar.port, host: "127.0.0.1", localAddress: client }, () =>
      socket.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    );
    sockets.push(socket);
    socket
      .once("error", reject)
      .once("close", () => reject(new Error(`closed after ${JSON.stringify(text)}`)));
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
      if (!text.includes("\r\n\r\n")) return;
      answered += 1;
      resolve(text.slice(9, 12));
    });
  });
}

async function count(state: "active" | "queued"): Promise<number> {
  const pattern = new RegExp(`^outrigger_upstream_connections\\{.*state="${state}".*\\} (\\d+)$`, "m");
  return Number(pattern.exec(await sidecar.metrics())?.[1]);
}

test("4,000 clients with a request each are all answered by a service that takes 128 at a time", async () => {
  const sockets: net.Socket[] = [];
  try {
    // Of two addresses: one alone may not have all of the service.
    const asked = Promise.all(
      Array.from({ length: connections }, (_, i) => ask(sockets, `127.0.0.${1 + (i % 2)}`)),
    );
    asked.catch(() => {}); // Told when it is waited for.
    await eventually(
      "all others wait",
      async () =>
        answered > 0 || (held.length === toService && (await count("queued")) === connections - toService),
      60_000,
    );
    assert.equal(answered, 0, "refused");
    assert.equal(await count("active"), toService);
    isOpen = true;
    for (const response of held) response.end("served");
    const statuses = new Map<string, number>();
    for (const status of await asked) statuses.set(status, (statuses.get(status) ?? 0) + 1);
    assert.deepEqual([...statuses], [["200", connections]]);
    assert.equal(most, toService);
    assert.equal(await count("queued"), 0);
  } finally {
    for (const socket of sockets) socket.destroy();
  }
});
