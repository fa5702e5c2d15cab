// Trailer fields: services that merge trailers into the head's fields would believe them.
import assert from "node:assert/strict";
import type { Attack } from "../attack.ts";
import { connectRaw } from "../../support/raw-http.ts";
import { showing, shownOf } from "../shown.ts";

const forged = [
  "X-User-Id: root",
  "X_User_Id: root",
  "X-User-Scopes: admin",
  "X-Forwarded-For: 1.2.3.4",
  "Forwarded: for=1.2.3.4",
  "X-Real-IP: 1.2.3.4",
  "X-HTTP-Method-Override: DELETE",
  "X-Original-URL: /admin",
  "X-API-Key: stolen",
  "Authorization: Bearer stolen",
  "Connection: close",
  "Transfer_Encoding: chunked",
  "X-Named: 1",
  "X-Secret: 1",
  "Checksum: abc",
];

const chunked = (head: string, trailers: readonly string[]): string =>
  `POST /a HTTP/1.1\r\nHost: a.test\r\n${head}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n` +
  `${trailers.join("\r\n")}\r\n\r\n`;

const policy = {
  plugins: ["auth", "transform"],
  pluginConfig: { auth: { required: false }, transform: { removeHeaders: ["x-secret"] } },
};

export const attacks: readonly Attack[] = [
  {
    row: "Z16",
    what: "identity, address, override and framing fields come as trailers of a chunked request",
    async run(scene) {
      const { port } = await scene.sidecar({ policy, upstream: showing });
      const plain = await shownOf(port, chunked("", forged));
      assert.deepEqual(plain.trailers, []);
      const asked = await shownOf(port, chunked("Connection: TE, X-Named\r\nTE: trailers\r\n", forged));
      assert.deepEqual(asked.trailers, [["checksum", "abc"]]);
    },
  },
  {
    row: "Z16",
    what: "the same with a setting that lets all trailers through, and from a trusted proxy",
    async run(scene) {
      const env = {
        OUTRIGGER_REQUEST_TRAILERS: "all",
        OUTRIGGER_TRUSTED_PROXIES: "127.0.0.1",
        OUTRIGGER_UNDERSCORE_FIELDS: "keep",
      };
      const { port } = await scene.sidecar({ policy, upstream: showing, env });
      const shown = await shownOf(port, chunked("Connection: X_Named\r\n", forged));
      assert.deepEqual(shown.trailers, [["checksum", "abc"]]);
    },
  },
  {
    row: "Z16",
    what: "a service's trailers frame the answer anew, set cookies and name the server",
    async run(scene) {
      const { port } = await scene.sidecar({
        policy: { plugins: ["transform"] },
        upstream: (_request, response) => {
          response.writeHead(200, { Trailer: "Checksum" });
          response.write("hi");
          response.addTrailers([
            ["Connection", "close"],
            ["Content_Length", "3"],
            ["Set-Cookie", "a=b"],
            ["Server", "secret/1"],
            ["Checksum", "abc"],
          ]);
          response.end();
        },
      });
      const client = await connectRaw(port);
      scene.after(() => client.socket.destroy());
      client.send("GET /a HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\n\r\n");
      const received = await client.until((text) => /\r\n0\r\n(?:[^\r\n]+\r\n)*\r\n$/.test(text));
      assert.equal(received.slice(received.lastIndexOf("\r\n0\r\n")), "\r\n0\r\nChecksum: abc\r\n\r\n");
    },
  },
];
