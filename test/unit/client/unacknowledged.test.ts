// Bytes that the kernel holds for a connection, read from the kernel's own table.
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync } from "node:fs";
import net from "node:net";
import { test } from "node:test";
import { handedOver, readUnacknowledged } from "../../../src/client/unacknowledged.ts";
import { eventually } from "../../support/redis.ts";

const skip = existsSync("/proc/self/net/tcp") ? false : "the system has no table of connections";

for (const host of ["127.0.0.1", "::1", "::ffff:127.0.0.1"]) {
  test(`${host}: bytes that the client has not read are told, and gone when it has`, { skip }, async (t) => {
    const server = net.createServer();
    await once(server.listen(0, host.startsWith("::f") ? "::" : host), "listening").catch(() =>
      t.skip("no IPv6"),
    );
    const { port } = server.address() as net.AddressInfo;
    const client = net.connect({ port, host: host.replace("::ffff:", "") });
    const [socket] = (await once(server, "connection")) as [net.Socket];
    t.after(() => {
      client.destroy();
      socket.destroy();
      server.close();
    });
    client.pause();
    socket.write(Buffer.alloc(16 * 1024 * 1024));
    const held = async (): Promise<number | undefined> => (await readUnacknowledged([socket])).get(socket);
    await eventually("a full kernel", async () => ((await held()) ?? 0) > 0);
    assert.ok(((await held()) ?? 0) <= handedOver(socket));
    client.resume();
    await eventually(
      "an empty one",
      async () => handedOver(socket) === 16 * 1024 * 1024 && (await held()) === 0,
    );
  });
}
