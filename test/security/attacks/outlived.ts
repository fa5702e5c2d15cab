// Streams and WebSockets that go on after the permission that admitted them has ended.
import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Attack } from "../attack.ts";
import { keyDigest } from "../../../plugins/auth/api-keys/key-format.ts";
import type { Scene } from "../../support/scene.ts";
import type { TestSidecar } from "../../support/sidecar.ts";

const secret = "a-secret-of-two-and-thirty-bytes!";
const issuer = "https://id.example";
const key = "a-key-that-will-be-revoked";

function tokenFor(seconds: number): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = { iss: issuer, sub: "u1", exp: Math.floor(Date.now() / 1000) + seconds };
  const signed = `${part({ alg: "HS256" })}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

/**
 * A service with a WebSocket that sends a greeting, and a stream that never ends. `heard` returns what the last
 * WebSocket has sent.
 */
async function endlessService(scene: Scene): Promise<{ url: string; heard: () => Buffer }> {
  const sockets = new Set<Socket>();
  let heard = Buffer.alloc(0);
  const server = http.createServer((_request, response) => void response.write("first "));
  server.on("connection", (socket) => sockets.add(socket));
  server.on("upgrade", (request, socket: Socket) => {
    const accept = createHash("sha1")
      .update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest("base64");
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    socket.on("data", (chunk: Buffer) => (heard = Buffer.concat([heard, chunk]))).on("error", () => {});
    socket.write(Buffer.from([0x81, 2, 0x68, 0x69]));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  scene.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, heard: () => heard };
}

/** @returns the close code that the client gets */
async function closeCode(
  sidecar: TestSidecar,
  headers: Record<string, string>,
  whenOpen = (): unknown => undefined,
): Promise<number> {
  // Node's WebSocket accepts header fields, unlike a browser's.
  const socket = new WebSocket(sidecar.url.replace("http", "ws"), { headers });
  await once(socket, "message");
  await whenOpen();
  const [event] = (await once(socket, "close")) as [CloseEvent];
  return event.code;
}

/** Resolves when the stream breaks off; rejects if it ends as if it were complete. */
async function brokenOff(sidecar: TestSidecar, headers: Record<string, string>): Promise<void> {
  const answer = await fetch(sidecar.url, { headers });
  assert.equal(answer.status, 200);
  await assert.rejects(answer.text(), "the stream is broken off");
}

const policyOf = (auth: object, route: object = {}): Record<string, unknown> => ({
  plugins: ["logging", "auth"],
  pluginConfig: {
    auth: { jwt: { issuers: [{ issuer, secret: "SECRET_J", algorithms: ["HS256"] }] }, ...auth },
  },
  routes: [{ path: "/*", ...route }],
});
const env = { OUTRIGGER_SECRET_J: secret, OUTRIGGER_RECHECK_MS: "200" };
const bearer = (seconds: number): Record<string, string> => ({
  authorization: `Bearer ${tokenFor(seconds)}`,
});

export const attacks: readonly Attack[] = [
  {
    row: "Z22",
    what: "keeps a WebSocket and a stream open past the end of their token",
    async run(scene) {
      const { url, heard } = await endlessService(scene);
      const sidecar = await scene.sidecar({ policy: policyOf({}), upstream: url, env });
      const [code] = await Promise.all([closeCode(sidecar, bearer(2)), brokenOff(sidecar, bearer(2))]);
      assert.equal(code, 1008);
      assert.equal(heard().at(0), 0x88, "the service gets a close frame");
      const line = await sidecar.line(({ status, msg }) => msg === "request" && status === 101);
      assert.equal(line["end"], "revoked");
    },
  },
  {
    row: "Z22",
    what: "keeps a WebSocket open past the revocation of its key",
    async run(scene) {
      const redis = await scene.redis();
      await redis.cli.set(
        `outrigger:apikey:${keyDigest(key)}`,
        JSON.stringify({ id: "k1", userId: "u1", scopes: [] }),
      );
      const { url } = await endlessService(scene);
      const sidecar = await scene.sidecar({ policy: policyOf({}), upstream: url, env, redisUrl: redis.url });
      const revoke = (): unknown => redis.cli.del(`outrigger:apikey:${keyDigest(key)}`);
      assert.equal(await closeCode(sidecar, { "x-api-key": key }, revoke), 1008);
    },
  },
  {
    row: "Z22",
    what: "keeps a WebSocket and a stream open under a policy that denies everybody",
    async run(scene) {
      const { url } = await endlessService(scene);
      const sidecar = await scene.sidecar({ policy: policyOf({}), upstream: url, env });
      const deny = (): void => sidecar.setPolicy(policyOf({ rules: [{ deny: {} }] }));
      const [code] = await Promise.all([
        closeCode(sidecar, bearer(600), deny),
        brokenOff(sidecar, bearer(600)),
      ]);
      assert.equal(code, 1008);
    },
  },
  {
    row: "Z22",
    what: "keeps a WebSocket and a stream open past the route's longest age",
    async run(scene) {
      const { url } = await endlessService(scene);
      const sidecar = await scene.sidecar({ policy: policyOf({}, { maxAgeMs: 300 }), upstream: url, env });
      const [code] = await Promise.all([closeCode(sidecar, bearer(600)), brokenOff(sidecar, bearer(600))]);
      assert.equal(code, 1008);
    },
  },
];
