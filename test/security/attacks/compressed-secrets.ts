// Answers that contain a secret next to text of an attacker: their length must not reveal the secret (BREACH).
import assert from "node:assert/strict";
import type { Attack } from "../attack.ts";

const secret = "csrf=7f3a9c51e0d84b26";

/** Fields that make a request look like one from a victim's browser. */
const victims: readonly (readonly [what: string, fields: Readonly<Record<string, string>>])[] = [
  ["a cookie", { cookie: "sid=1" }],
  ["Basic", { authorization: "Basic dTpw" }],
  ["Negotiate", { authorization: "Negotiate YII" }],
];

export const attacks: readonly Attack[] = [
  {
    row: "Z73",
    what: "guesses a page's secret by how long its compressed answers are",
    async run(scene) {
      const sidecar = await scene.sidecar({
        policy: {
          plugins: ["compress"],
          pluginConfig: { compress: { minBytes: 1 } },
          routes: [
            { path: "/*" },
            { path: "/explicit", pluginConfig: { compress: { credentials: "explicit" } } },
          ],
        },
        upstream: (request, response) => {
          const guess = new URL(request.url ?? "", "http://service").searchParams.get("q") ?? "";
          response.setHeader("Content-Type", "text/html");
          if (request.headers.cookie === undefined && request.headers.authorization === undefined)
            response.setHeader("Set-Cookie", "sid=2");
          response.end(`<p>You looked for ${guess}</p>${secret}`);
        },
      });
      const lengthOf = async (path: string, fields: Readonly<Record<string, string>>): Promise<number> => {
        const answer = await fetch(sidecar.url + path, {
          headers: { "accept-encoding": "gzip, br, zstd", ...fields },
        });
        assert.equal(answer.headers.get("content-encoding"), null, path);
        return (await answer.arrayBuffer()).byteLength;
      };
      for (const [what, fields] of [...victims, ["a new session", {}] as const]) {
        for (const path of ["/", "/explicit"]) {
          const right = await lengthOf(`${path}?q=csrf=7f3a9c51`, fields);
          const wrong = await lengthOf(`${path}?q=csrf=qqqqqqqq`, fields);
          assert.equal(right, wrong, `${what}: the length tells`);
        }
      }
    },
  },
];
