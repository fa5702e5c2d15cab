// Connections that end by a reset: whether the sidecar notices.
import assert from "node:assert/strict";
import tls from "node:tls";
import { connected, makeFront } from "../../support/fronts.ts";
import { requestText } from "../../support/raw-http.ts";
import { eventually } from "../../support/redis.ts";
import { sendAndReset } from "../../support/tls-reset.ts";
import type { Attack } from "../attack.ts";

export const attacks: readonly Attack[] = [
  {
    row: "Z41",
    what: "sends requests over TLS and resets each connection, until nobody else gets one",
    async run(scene) {
      const front = makeFront("TLS");
      scene.after(() => front.close());
      const sidecar = await scene.sidecar({
        policy: { plugins: ["logging"] },
        upstream: (_request, response) => void setTimeout(() => response.end("ok"), 15),
        env: { ...front.env, OUTRIGGER_MAX_CONNECTIONS: "20" },
      });
      const addresses = ["127.0.0.2", "127.0.0.3"];
      for (const address of addresses) {
        for (let i = 0; i < 20; i += 1)
          await sendAndReset(sidecar.port, requestText("GET", "/gone"), address);
      }
      const lines = (): number => sidecar.lines.filter(({ path }) => path === "/gone").length;
      await eventually("a line of each", () => lines() >= 40, 4_000);
      for (const localAddress of ["127.0.0.1", ...addresses]) {
        const options = { port: sidecar.port, host: "127.0.0.1", localAddress, rejectUnauthorized: false };
        const client = await connected(tls.connect(options), "secureConnect");
        client.send(requestText("GET", "/"));
        assert.equal((await client.answer()).body, "ok", localAddress);
        client.end();
      }
    },
  },
];
