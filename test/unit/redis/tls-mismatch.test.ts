// One side speaks TLS, the other does not: the logged reason says so.
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { parseRedisAddress } from "../../../src/redis/address.ts";
import { openServer } from "../../../src/redis/connect.ts";

async function reasonAt(t: TestContext, url: string, wanted: RegExp): Promise<void> {
  const reason = await new Promise<string>((resolve) => {
    const link = openServer(parseRedisAddress(url), "test", (up, why) => {
      if (!up) resolve(why);
    });
    t.after(() => link.close());
  });
  assert.match(reason, wanted);
}

async function listening(t: TestContext, serve: (socket: Socket) => unknown): Promise<number> {
  const server = createServer((socket) => serve(socket.on("error", () => {})));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

test("rediss:// to a port that answers in plain text", async (t) => {
  const port = await listening(t, (socket) => socket.write("-ERR unknown command\r\n"));
  await reasonAt(t, `rediss://127.0.0.1:${port}`, /does not speak TLS/);
});

test("rediss:// to a port that waits for the end of a command", async (t) => {
  const port = await listening(t, (socket) => socket.resume());
  await reasonAt(t, `rediss://127.0.0.1:${port}`, /does not speak TLS/);
});

test("redis:// to a port that speaks TLS", async (t) => {
  // The alert of OpenSSL for a record of no version (RFC 8446 section 6).
  const alert = Buffer.from([0x15, 3, 1, 0, 2, 2, 70]);
  const port = await listening(t, (socket) => socket.once("data", () => socket.end(alert)));
  await reasonAt(t, `redis://127.0.0.1:${port}`, /it speaks TLS/);
});
