// A client attacks ext-auth: gets past the endpoint's refusal, uses its absence, or sets fields in its name.
import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import type { Attack } from "../attack.ts";
import type { Scene } from "../../support/scene.ts";
import type { TestSidecar } from "../../support/sidecar.ts";
import { startUpstream } from "../upstream.ts";

/** A service that serves every request with X-Role: admin, behind an endpoint that decides who has it. */
async function asked(scene: Scene, extAuth: object): Promise<TestSidecar> {
  const url = await startUpstream(scene, ({ headers }, response) => {
    const known = headers["x-key"] === "good";
    response.writeHead(known ? 200 : 403, { "X-Role": headers["x-key"] === "good" ? "user" : "" }).end();
  });
  return scene.sidecar({
    policy: {
      plugins: ["ext-auth"],
      pluginConfig: {
        "ext-auth": { url, input: ["path", "header:x-key"], fields: ["X-Role"], ...extAuth },
      },
      routes: [{ path: "/*" }, { path: "/public/*", plugins: ["logging"] }],
    },
    upstream: ({ headers }, response) => response.end(`role ${JSON.stringify(headers["x-role"] ?? null)}`),
  });
}

/**
 * Sends fields as they are, one line each.
 * @returns the whole answer
 */
async function send(sidecar: TestSidecar, path: string, lines: readonly string[]): Promise<string> {
  const socket = net.connect(sidecar.port, "127.0.0.1");
  let text = "";
  socket.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
  socket.end(`GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${lines.join("\r\n")}\r\n\r\n`);
  await once(socket, "close");
  return text;
}

export const attacks: readonly Attack[] = [
  {
    row: "Z70",
    what: "sends the field that the endpoint sets, in every spelling, also where nobody is asked",
    async run(scene) {
      const sidecar = await asked(scene, {});
      for (const name of ["X-Role", "x-role", "X_Role", "x_rOLE"]) {
        const forged = [`${name}: admin`, "X-Key: good"];
        assert.match(await send(sidecar, "/a", forged), /role "user"/);
        assert.match(await send(sidecar, "/public/a", forged), /role null/);
      }
    },
  },
  {
    row: "Z70",
    what: "asks for what another was let in to, while that answer is kept, with keys that look alike",
    async run(scene) {
      const sidecar = await asked(scene, { cache: { by: ["path", "header:x-key"], ttlSeconds: 60 } });
      assert.match(await send(sidecar, "/a", ["X-Key: good"]), /200 OK/);
      for (const lines of [[], ["X-Key:"], ["X-Key: Good"], ["X-Key: good", "X-Key: good"], ["X-Key: good,"]])
        assert.match(await send(sidecar, "/a", lines), /403 Forbidden/, lines.join());
      assert.match(await send(sidecar, "/b", ["X-Key: bad"]), /403 Forbidden/);
      assert.match(await send(sidecar, "/a%2fb", ["X-Key: good"]), /400 Bad Request/);
    },
  },
  {
    row: "Z70",
    what: "comes while the endpoint is away",
    async run(scene) {
      const sidecar = await asked(scene, { url: "http://127.0.0.1:9/decide", timeoutMs: 200 });
      for (let i = 0; i < 8; i += 1)
        assert.match(await send(sidecar, "/a", ["X-Key: good"]), /503 Service Unavailable/);
    },
  },
];
