// A tunnel whose client reads nothing, not even the head at the start.
import assert from "node:assert/strict";
import { once } from "node:events";
import net, { type AddressInfo, type Socket } from "node:net";
import { test } from "node:test";
import type { CarriedExchange } from "../../../src/exchange/context.ts";
import { Tunnel } from "../../../src/exchange/tunnel.ts";
import { UpgradeSide } from "../../../src/server/http1/upgrade-side.ts";

/** @returns the near and the far end */
async function connectionOf(server: net.Server): Promise<[Socket, Socket]> {
  const far = net.connect({ port: (server.address() as AddressInfo).port, host: "127.0.0.1" });
  const [near] = (await once(server, "connection")) as [Socket];
  for (const end of [near, far]) end.on("error", () => {});
  return [near, far];
}

test("a client that does not take the 101 is let go, and the service with it", async (t) => {
  const server = net.createServer().listen(0, "127.0.0.1");
  t.after(() => server.close());
  await once(server, "listening");
  const [client, silent] = await connectionOf(server);
  const [service, far] = await connectionOf(server);
  t.after(() => [silent, far].forEach((socket) => socket.destroy()));
  // Until the kernel takes no more.
  while (client.write(Buffer.alloc(1_000_000)) || client.writableLength === 0);
  const finished: number[] = [];
  // Of an exchange, a tunnel knows the end alone.
  const exchange = { finish: (bytes: number) => finished.push(bytes) } as unknown as CarriedExchange;
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const connection = new UpgradeSide(client, Buffer.alloc(0)).take([]);
  const tunnel = new Tunnel(exchange, connection, {
    protocol: "mine/1",
    socket: service,
    head: Buffer.alloc(0),
  });
  tunnel.start();
  t.mock.timers.tick(4_999);
  assert.equal(client.destroyed, false);
  t.mock.timers.tick(1);
  assert.equal(client.destroyed, true);
  await once(service, "close");
  assert.equal(finished.length, 1);
});
