import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { it } from "node:test";
import { closeEmptied, listeningHandle } from "../../../src/server/backlog.ts";

async function closing(limitMs: number): Promise<{ answered: number; refused: unknown }> {
  const server = createServer((socket) => socket.end("here"));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const clients: Socket[] = Array.from({ length: 60 }, () => connect(port, "127.0.0.1"));
  const answers = clients.map(
    (client) =>
      new Promise<boolean>((resolve) => {
        client.once("data", () => resolve(true)).once("error", () => resolve(false));
        client.once("close", () => resolve(false));
      }),
  );
  // The kernel has all of them then, and the server a few.
  await once(clients.at(-1) as Socket, "connect");
  const handle = listeningHandle(server);
  assert.ok(handle);
  await closeEmptied(handle, performance.now() + limitMs);
  const late = connect(port, "127.0.0.1");
  const [refused] = (await once(late, "error")) as [NodeJS.ErrnoException];
  const answered = (await Promise.all(answers)).filter(Boolean).length;
  server.close();
  return { answered, refused: refused.code };
}

it("a listening socket is closed when everybody who waited was taken", async () => {
  assert.deepEqual(await closing(10_000), { answered: 60, refused: "ECONNREFUSED" });
});

it("or at the limit, whoever still waits", async () => {
  const { answered, refused } = await closing(0);
  assert.ok(answered < 60, `${answered} were taken`);
  assert.equal(refused, "ECONNREFUSED");
});

it("a server that does not listen has none", () => {
  assert.equal(listeningHandle(createServer()), undefined);
});
