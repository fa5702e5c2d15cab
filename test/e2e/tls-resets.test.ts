// Clients of the TLS listener that reset their connection right behind the request leave nothing behind. Each time
// there are three times as many as may be connected.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Front, makeFront } from "../support/fronts.ts";
import { requestText } from "../support/raw-http.ts";
import { eventually } from "../support/redis.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";
import { sendAndReset } from "../support/tls-reset.ts";

const handshake = ["Connection: Upgrade", "Upgrade: mine/1"];
const times = 30;

describe("a TLS client that resets right behind its request", () => {
  let front: Front;
  let sidecar: TestSidecar;
  before(async () => {
    front = makeFront("TLS");
    sidecar = await startSidecar({
      policy: { plugins: ["logging"], routes: [{ path: "/*" }, { path: "/refused/*", methods: ["PUT"] }] },
      env: {
        ...front.env,
        OUTRIGGER_MAX_CONNECTIONS: "10",
        OUTRIGGER_CLIENT_SHARE: "100",
        OUTRIGGER_DRAIN_MS: "20000",
      },
      upstream: (request, response) => {
        if (request.url?.startsWith("/late/")) setTimeout(() => response.end("late"), 15);
        else if (request.url?.startsWith("/endless/")) response.write("first");
        else if (!request.url?.startsWith("/silent/")) response.end("answer");
      },
    });
  });
  after(async () => {
    await sidecar.stop();
    front.close();
  });

  /** Each has one line, and all may come again. */
  const leave = async (folder: string, textOf: (path: string) => string): Promise<void> => {
    const linesOf = (path: string): number => sidecar.lines.filter((line) => line["path"] === path).length;
    const paths = Array.from({ length: times }, (_, i) => `/${folder}/${i}`);
    for (const path of paths) await sendAndReset(sidecar.port, textOf(path));
    await eventually("a line of each", () => paths.every((path) => linesOf(path) > 0), 8_000);
    const client = await front.connect(sidecar.port);
    client.send(requestText("GET", "/"));
    assert.equal((await client.answer()).body, "answer");
    client.end();
    assert.deepEqual(
      paths.filter((path) => linesOf(path) !== 1),
      [],
    );
  };

  for (const [what, folder, method, fields, body] of [
    ["while the service answers", "late", "GET", [], ""],
    ["while the service is silent", "silent", "GET", [], ""],
    ["for an answer that does not end", "endless", "GET", [], ""],
    ["that is answered here, at once", "refused", "GET", [], ""],
    ["in the middle of its body", "late", "POST", ["Content-Length: 10"], "half"],
    ["to upgrade", "late", "GET", handshake, ""],
  ] as const) {
    it(`${what} leaves neither exchange nor connection`, async () => {
      await leave(`${folder}/${method}/${fields.length}`, (path) => requestText(method, path, fields, body));
    });
  }

  it("keeps no drain waiting", async () => {
    const beganMono = performance.now();
    await sidecar.stop();
    assert.ok(performance.now() - beganMono < 10_000);
  });
});
