// Clients that end their side of a connection or of a response at an awkward time.
import assert from "node:assert/strict";
import { connectRaw } from "../../support/raw-client.ts";
import { requestText } from "../../support/raw-http.ts";
import type { Scene } from "../../support/scene.ts";
import type { Scenario } from "../scenario.ts";

async function halfClosed(scene: Scene): Promise<string> {
  const sidecar = await scene.sidecar({
    policy: { plugins: ["logging"] },
    upstream: (request, response) =>
      void setTimeout(() => response.end("ok"), request.url === "/slow" ? 700 : 0),
  });
  const ask = async (path: string): Promise<string> => {
    const client = await connectRaw(sidecar.port);
    client.end(requestText("GET", path));
    return client.rest();
  };
  const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => ask(i % 2 === 0 ? "/" : "/slow")));
  const answered = answers.filter((answer) => answer.includes("HTTP/1.1 200 OK") && answer.endsWith("ok"));
  assert.equal(answered.length, answers.length);
  return `${answered.length} of ${answers.length} answered`;
}

async function largeRefusals(scene: Scene): Promise<string> {
  const sidecar = await scene.sidecar({
    policy: { plugins: ["logging"] },
    upstream: (_request, response) => response.end(),
    env: { OUTRIGGER_MAX_BODY_BYTES: "1000" },
  });
  const piece = Buffer.alloc(256 * 1024);
  const upload = async (): Promise<boolean> => {
    const client = await connectRaw(sidecar.port);
    // Reads only after it has sent everything, as simple clients do.
    client.socket.pause();
    client.send(requestText("POST", "/", ["Content-Length: 20000000"]));
    for (let sent = 0; sent < 76 && !client.socket.destroyed; sent += 1) {
      client.send(piece);
      if (client.socket.writableNeedDrain) {
        await Promise.race([new Promise((resolve) => client.socket.once("drain", resolve)), client.closed]);
      }
    }
    client.socket.resume();
    const answer = await client.rest();
    client.end();
    return answer.includes("HTTP/1.1 413") && answer.endsWith("}");
  };
  let held = 0;
  for (let i = 0; i < 10; i += 1) {
    const answers = await Promise.all(Array.from({ length: 4 }, upload));
    held += answers.filter((answered) => answered).length;
  }
  assert.equal(held, 40, `${held} of 40 uploads of 20 MB have read their 413`);
  return `${held} of 40 uploads of 20 MB have read their 413`;
}

async function bareLineFeeds(scene: Scene): Promise<string> {
  const sidecar = await scene.sidecar({
    policy: { plugins: ["logging"] },
    upstream: (request, response) => request.resume().once("end", () => response.end("ok")),
  });
  const forms = ["5\nhello\r\n0\r\n\r\n", "5\r\nhello\n0\r\n\r\n", "5\r\nhello\r\n0\n\n"];
  for (const form of forms) {
    const client = await connectRaw(sidecar.port);
    client.send(requestText("POST", "/", ["Transfer-Encoding: chunked"], form));
    assert.match(await client.rest(), /^HTTP\/1\.1 400 /);
    client.end();
  }
  return "400 for all three";
}

export const scenarios: readonly Scenario[] = [
  {
    group: "clients",
    fault: "50 end their side right behind the request, half of them wait 700 ms for the answer",
    promised: "each gets its answer",
    run: halfClosed,
  },
  {
    group: "clients",
    fault: "40 uploads of 20 MB are refused at their head, and sent to the end nonetheless",
    promised: "each reads the whole 413; none is reset",
    run: largeRefusals,
  },
  {
    group: "clients",
    fault: "three forms of bare LF in the chunked coding",
    promised: "400 before the connection ends",
    run: bareLineFeeds,
  },
];
