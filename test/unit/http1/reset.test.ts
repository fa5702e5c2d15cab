import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { resetConnection } from "../../../src/http1/reset.ts";

/** Connects a client. @returns both ends */
async function connected(t: TestContext): Promise<{ readonly own: Socket; readonly peer: Socket }> {
  const server = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
  t.after(() => server.close());
  await once(server, "listening");
  const accepted = once(server, "connection");
  const peer = connect({
    port: (server.address() as AddressInfo).port,
    host: "127.0.0.1",
    allowHalfOpen: true,
  });
  const [own] = (await accepted) as [Socket];
  own.on("error", () => undefined);
  t.after(() => peer.destroy());
  return { own, peer };
}

test("a connection under way is reset", async (t) => {
  const { own, peer } = await connected(t);
  const failed = once(peer, "error");
  peer.resume();
  resetConnection(own);
  const [error] = (await failed) as [NodeJS.ErrnoException];
  assert.equal(error.code, "ECONNRESET");
});

test("a connection that has ended, but waits to send the rest, is reset, too", async (t) => {
  const { own, peer } = await connected(t);
  peer.pause();
  // More than the system takes while the peer does not read.
  own.end(Buffer.alloc(32 * 1024 * 1024));
  const failed = once(peer, "error");
  const closed = once(own, "close");
  resetConnection(own);
  peer.resume();
  const [error] = (await failed) as [NodeJS.ErrnoException];
  assert.equal(error.code, "ECONNRESET");
  await closed;
});

test("a connection whose regular end is on its way closes all the same", async (t) => {
  const { own, peer } = await connected(t);
  peer.resume();
  own.write("all of it");
  own.end();
  const closed = once(own, "close");
  resetConnection(own);
  await closed;
});
