// Methods and paths that routes and rules do not cover.
import assert from "node:assert/strict";
import { connectRaw } from "../../support/raw-http.ts";
import type { Attack } from "../attack.ts";
import { sendRaw, showing, shownOf, valueOf } from "../shown.ts";

export const attacks: readonly Attack[] = [
  {
    row: "Z21",
    what: "TRACE asks the service to show what was added on the way",
    async run(scene) {
      const { port } = await scene.sidecar({ policy: { plugins: [] }, upstream: showing });
      const answer = await sendRaw(port, "TRACE /a HTTP/1.1\r\nHost: a.test\r\n\r\n");
      assert.equal(answer.status, 405);
      assert.match(answer.field("allow") ?? "", /GET/);
    },
  },
  {
    row: "Z21",
    what: "HEAD asks for an upgrade",
    async run(scene) {
      const sidecar = await scene.sidecar({ policy: { plugins: [] }, upstream: showing });
      sidecar.service?.on("upgrade", (_request, socket) => {
        socket.end("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
      });
      const fields = "Host: a.test\r\nConnection: Upgrade\r\nUpgrade: x\r\n";
      const client = await connectRaw(sidecar.port);
      scene.after(() => client.socket.destroy());
      client.send(`HEAD /a HTTP/1.1\r\n${fields}\r\n`);
      const received = await client.until((text) => text.includes("\r\n\r\n"));
      assert.match(received, /^HTTP\/1\.1 400 /);
    },
  },
  {
    row: "Z21",
    what: "a path without authentication hands the caller's credentials to the service",
    async run(scene) {
      const exclude = ["/open", { path: "/hook", forwardCredentials: true }];
      const policy = { plugins: ["auth"], pluginConfig: { auth: { exclude } } };
      const { port } = await scene.sidecar({ policy, upstream: showing });
      const shown = (path: string) =>
        shownOf(
          port,
          `GET ${path} HTTP/1.1\r\nHost: a.test\r\nX-API-Key: k\r\nAuthorization: Bearer t\r\n\r\n`,
        );
      const open = await shown("/open");
      assert.equal(valueOf(open.fields, "x-api-key"), undefined);
      assert.equal(valueOf(open.fields, "authorization"), undefined);
      const hook = await shown("/hook");
      assert.equal(valueOf(hook.fields, "authorization"), "Bearer t");
    },
  },
];
