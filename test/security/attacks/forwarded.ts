// Client addresses that clients claim through a trusted proxy that does not write that field itself.
import assert from "node:assert/strict";
import type { Attack } from "../attack.ts";
import { sendRaw, showing, shownOf, valueOf } from "../shown.ts";

const get = (...fields: readonly string[]): string =>
  `GET /a HTTP/1.1\r\nHost: a.test\r\n${fields.map((line) => `${line}\r\n`).join("")}\r\n`;
const env = { OUTRIGGER_TRUSTED_PROXIES: "127.0.0.1", OUTRIGGER_FORWARDED_FIELD: "forwarded" };
const policy = { plugins: ["logging"] };

export const attacks: readonly Attack[] = [
  {
    row: "Z19",
    what: "X-Forwarded-For past a proxy that writes only Forwarded",
    async run(scene) {
      const sidecar = await scene.sidecar({ policy, env, upstream: showing });
      const shown = await shownOf(sidecar.port, get("X-Forwarded-For: 6.6.6.6", "Forwarded: for=1.2.3.4"));
      assert.equal(valueOf(shown.fields, "x-forwarded-for"), "1.2.3.4, 127.0.0.1");
      const line = await sidecar.line(({ msg }) => msg === "request");
      assert.equal(line["clientIp"], "1.2.3.4");
      await sidecar.line(({ msg }) => String(msg).includes("OUTRIGGER_FORWARDED_FIELD"));
      assert.match(await sidecar.metrics(), /outrigger_forwarded_disagreements_total(?:\{[^}]*\})? 1\n/);
    },
  },
  {
    row: "Z19",
    what: "a comma and a quote inside a quoted string of Forwarded",
    async run(scene) {
      const sidecar = await scene.sidecar({ policy, env, upstream: showing });
      const { status } = await sendRaw(
        sidecar.port,
        get('Forwarded: for=1.2.3.4;by="_a\\", for=6.6.6.6"', "Connection: close"),
      );
      assert.equal(status, 200);
      const line = await sidecar.line(({ msg }) => msg === "request");
      assert.equal(line["clientIp"], "1.2.3.4");
      const unclosed = await sendRaw(sidecar.port, get('Forwarded: for="6.6.6.6, for=1.2.3.4'));
      assert.equal(unclosed.status, 400);
    },
  },
];
