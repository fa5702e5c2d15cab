import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { after, test, type TestContext } from "node:test";
import { readShared } from "../../../../src/server/http1-net/shared-reads.ts";
import { eventually } from "../../../support/redis.ts";

interface Accepted {
  readonly port: number | undefined;
  readonly chunks: Buffer[];
  readonly isShared: boolean;
}

const accepted: Accepted[] = [];
let isInBody = false;
let onRead: (bytes: Buffer) => void = () => {};
const server = createServer((socket) => {
  const chunks: Buffer[] = [];
  const take = (bytes: Buffer): boolean => {
    chunks.push(bytes);
    onRead(bytes);
    return true;
  };
  const isShared = readShared(socket, take, () => isInBody);
  socket.on("error", () => {}).resume();
  accepted.push({ port: socket.remotePort, chunks, isShared });
});
server.listen(0, "127.0.0.1");
await once(server, "listening");
after(() => server.close());

/** @returns so many connections, and what the server reads of each once `end` has run */
async function open(count: number): Promise<{ clients: Socket[]; end: () => Promise<readonly Accepted[]> }> {
  const { port } = server.address() as AddressInfo;
  const clients = Array.from({ length: count }, () => connect({ port, host: "127.0.0.1" }));
  await Promise.all(clients.map((client) => once(client, "connect")));
  for (const client of clients) client.on("error", () => {});
  return {
    clients,
    end: async () => {
      const ports = clients.map(({ localPort }) => localPort);
      const closed = clients.map(
        (client) => new Promise((resolve) => client.once("close", resolve).resume().end()),
      );
      await Promise.all(closed);
      return ports.map((own) => accepted.findLast(({ port }) => port === own) as Accepted);
    },
  };
}

async function send(bytes: Buffer): Promise<Accepted> {
  const { clients, end } = await open(1);
  clients[0]?.write(bytes);
  return (await end())[0] as Accepted;
}

test("an accepted connection is read into memory that all share, on every Node that is supported", async () => {
  const { isShared, chunks } = await send(Buffer.from("some"));
  assert.ok(isShared);
  assert.equal(Buffer.concat(chunks).toString(), "some");
});

test("what one accepted connection has read is not written over by others", async () => {
  const { clients, end } = await open(20);
  for (let turn = 0; turn < 5; turn += 1) {
    for (const [i, client] of clients.entries()) client.write(Buffer.alloc(1 + turn * 7_000, i));
    await Promise.all(clients.map((client) => new Promise((resolve) => client.write("", resolve))));
  }
  for (const [i, { chunks }] of (await end()).entries()) {
    assert.ok(Buffer.concat(chunks).equals(Buffer.alloc(5 + 7_000 * 10, i)), `connection ${i}`);
  }
});

test("memory of its own is for a connection in the middle of a body", async () => {
  const bytes = Buffer.alloc(1_000_000, "x");
  const largest = ({ chunks }: Accepted): number => Math.max(...chunks.map(({ length }) => length));
  assert.ok(largest(await send(bytes)) <= 32 * 1024);
  isInBody = true;
  assert.ok(largest(await send(bytes)) > 32 * 1024);
});

function catchFaults(t: TestContext): unknown[] {
  const faults: unknown[] = [];
  process.setUncaughtExceptionCaptureCallback((error) => faults.push(error));
  t.after(() => process.setUncaughtExceptionCaptureCallback(null));
  return faults;
}

test("where a taker throws, nothing is read behind what it has left", async (t) => {
  const faults = catchFaults(t);
  isInBody = false;
  onRead = () => {
    throw new Error("a taker's fault");
  };
  const [client] = (await open(1)).clients as [Socket];
  const { localPort } = client;
  const closed = once(client.resume(), "close");
  client.write("first");
  await eventually("the fault", () => faults.length > 0);
  client.write("second");
  await closed;
  const chunks = accepted.findLast(({ port }) => port === localPort)?.chunks ?? [];
  assert.equal(Buffer.concat(chunks).toString(), "first");
  assert.equal(faults.length, 1);
});

test("where a taker throws, nothing is read into what was handed on", async (t) => {
  const faults = catchFaults(t);
  const fault = new Error("a taker's fault");
  const numbers = Buffer.from(Uint32Array.from({ length: 200_000 }, (_, i) => i).buffer);
  isInBody = true;
  onRead = ({ buffer }) => {
    // Once it is read into memory of its own.
    if (faults.length === 0 && buffer.byteLength === 64 * 1024) throw fault;
  };
  const { chunks } = await send(numbers);
  assert.deepEqual(faults, [fault]);
  const read = Buffer.concat(chunks);
  assert.ok(read.length < numbers.length, "it has ended");
  assert.ok(read.equals(numbers.subarray(0, read.length)));
});
