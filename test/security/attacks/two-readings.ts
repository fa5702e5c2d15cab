// A client attacks validate: a body that means one thing to the validator and another to the service.
import assert from "node:assert/strict";
import { deflateSync, gzipSync } from "node:zlib";
import type { Attack } from "../attack.ts";

const good = '{"role":"user"}';
const evil = '{"role":"admin"}';

const bodies: readonly (readonly [what: string, body: string | Buffer, headers?: Record<string, string>])[] =
  [
    ["two members of one name", '{"role":"admin","role":"user"}'],
    ["the same, one of them escaped", '{"r\\u006fle":"admin","role":"user"}'],
    ["two texts", `${good}\n${evil}`],
    [
      "another character set",
      Buffer.from(evil, "utf16le"),
      { "Content-Type": "application/json; charset=utf-16le" },
    ],
    ["two media types", evil, { "Content-Type": "text/plain, application/json" }],
    ["a parameter that hides the type", evil, { "Content-Type": "text/plain; a=b; application/json" }],
    ["compressed", gzipSync(evil), { "Content-Encoding": "gzip" }],
    ["compressed twice", gzipSync(deflateSync(evil)), { "Content-Encoding": "deflate, gzip" }],
    ["bytes that are no UTF-8", Buffer.from('{"role":"user","x":"\xff"}', "latin1")],
    ["a prototype", '{"role":"user","__proto__":{"role":"admin"}}'],
  ];

export const attacks: readonly Attack[] = [
  {
    row: "Z71",
    what: "sends what the service reads differently: twice, encoded, compressed, by prototype",
    async run(scene) {
      const served: string[] = [];
      const schema = { properties: { role: { const: "user" } }, required: ["role"] };
      const sidecar = await scene.sidecar({
        policy: { plugins: ["validate"], pluginConfig: { validate: { schema } } },
        upstream: (request, response) => {
          served.push(request.url ?? "");
          request.resume().on("end", () => response.end("served"));
        },
      });
      const send = async (body: string | Buffer, headers: Record<string, string> = {}): Promise<number> => {
        const all = { "Content-Type": "application/json", ...headers };
        const answer = await fetch(sidecar.url, { method: "POST", headers: all, body });
        await answer.arrayBuffer();
        return answer.status;
      };
      assert.equal(await send(good), 200);
      assert.equal(await send(evil), 422);
      for (const [what, body, headers] of bodies) {
        const status = await send(body, headers);
        assert.ok(status >= 400 && status < 500, `${what}: ${status}`);
      }
      assert.equal(served.length, 1);
    },
  },
];
