// Another site's page attacks a service with cookies of its own, behind csrf.
import assert from "node:assert/strict";
import { connectRaw } from "../../support/raw-http.ts";
import type { Attack } from "../attack.ts";

const evil = "https://evil.example";

/** Fields that browsers send with forged requests, each as a different browser does. */
const forged: readonly (readonly [what: string, lines: readonly string[]])[] = [
  ["a form", ["Sec-Fetch-Site: cross-site", `Origin: ${evil}`]],
  ["a form of a sandboxed frame", ["Sec-Fetch-Site: cross-site", "Origin: null"]],
  ["a neighbour's page", ["Sec-Fetch-Site: same-site", "Origin: https://blog.api.example"]],
  ["a browser without Fetch Metadata", [`Origin: ${evil}`]],
  ["that, from a frame without an origin", ["Origin: null"]],
  ["two origins", ["Origin: http://api.example", `Origin: ${evil}`]],
  ["a host that begins alike", ["Origin: http://api.example.evil.example"]],
];

export const attacks: readonly Attack[] = [
  {
    row: "Z72",
    what: "has a browser with the service's cookie send forms and open WebSockets from another site",
    async run(scene) {
      const served: string[] = [];
      const sidecar = await scene.sidecar({
        policy: { plugins: ["csrf"] },
        upstream: (request, response) => {
          served.push(`${request.method} ${request.url}`);
          response.end("served");
        },
      });
      const status = async (head: string, lines: readonly string[]): Promise<number> => {
        const client = await connectRaw(sidecar.port);
        const fields = ["Host: api.example", "Cookie: sid=1", ...lines].join("\r\n");
        client.send(`${head} HTTP/1.1\r\n${fields}\r\n\r\n`);
        const { status: code } = await client.answer();
        client.socket.destroy();
        return code;
      };
      const socket = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"];
      const key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==";
      for (const [what, lines] of forged) {
        assert.equal(await status("POST /transfer", [...lines, "Content-Length: 0"]), 403, what);
        assert.equal(await status("GET /socket", [...lines, ...socket, key]), 403, `${what}, WebSocket`);
      }
      const own = ["Origin: http://api.example", "Content-Length: 0"];
      assert.equal(await status("POST /transfer", own), 200);
      assert.deepEqual(served, ["POST /transfer"]);
    },
  },
];
