// A user's own http-proxy middleware, plugged into a sidecar by http-proxy's documented interface.
import assert from "node:assert/strict";
import type { IncomingMessage, RequestListener } from "node:http";
import { describe, it } from "node:test";
import { guardPlugin, pluginWith } from "../support/plugins.ts";
import { connectRaw, requestText } from "../support/raw-http.ts";
import { startSidecar } from "../support/sidecar.ts";

const service: RequestListener = (request, response) => response.end(`service saw ${request.url}`);

describe("http-proxy middleware", () => {
  it("sees each request that the policy has let in before it is forwarded, and may answer it itself", async () => {
    const seen: string[] = [];
    await using sidecar = await startSidecar({
      policy: { plugins: ["guard", "logging"] },
      plugins: [guardPlugin],
      upstream: service,
      middleware: (proxy) =>
        proxy.before("web", "stream", (request, response) => {
          seen.push(request.url ?? "");
          if (request.url !== "/teapot") return false;
          response.writeHead(418, { "Content-Type": "text/plain" }).end("short and stout");
          return true;
        }),
    });
    const forwarded = await fetch(`${sidecar.url}/a?b=1`);
    assert.equal(await forwarded.text(), "service saw /a?b=1");
    const answered = await fetch(`${sidecar.url}/teapot`);
    assert.deepEqual([answered.status, await answered.text()], [418, "short and stout"]);
    // Refused before: it is not asked.
    assert.equal((await fetch(`${sidecar.url}/a%2fb`)).status, 400);
    assert.deepEqual(seen, ["/a?b=1", "/teapot"]);
    const line = await sidecar.line(({ path }) => path === "/teapot");
    assert.equal(line["status"], 418);
    assert.match(await sidecar.metrics(), /outrigger_requests_total\{[^}]*status="418"[^}]*\} 1/);
  });

  it("sees upgrades, too", async () => {
    const seen: (string | undefined)[] = [];
    await using sidecar = await startSidecar({
      policy: {},
      upstream: service,
      middleware: (proxy) =>
        proxy.before("ws", "stream", (request: IncomingMessage) => void seen.push(request.headers.upgrade)),
    });
    const client = await connectRaw(sidecar.port);
    client.send(requestText("GET", "/", ["Connection: Upgrade", "Upgrade: echo"]));
    assert.equal((await client.answer()).body, "service saw /");
    assert.deepEqual(seen, ["echo"]);
    client.end();
  });

  it("that throws fails its request alone", async () => {
    const ended: string[] = [];
    const plugin = pluginWith("ends", { onComplete: (_exchange, { end }) => void ended.push(end) });
    await using sidecar = await startSidecar({
      policy: { plugins: ["ends"] },
      plugins: [plugin],
      upstream: service,
      middleware: (proxy) =>
        proxy.before("web", "stream", ({ url }) => {
          if (url === "/bug") throw new Error("a bug");
          return false;
        }),
    });
    assert.equal((await fetch(`${sidecar.url}/bug`)).status, 500);
    assert.equal(await (await fetch(`${sidecar.url}/well`)).text(), "service saw /well");
    assert.deepEqual(ended, ["complete", "complete"]);
  });
});
