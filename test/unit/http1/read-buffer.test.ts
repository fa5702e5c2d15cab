import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { after, test } from "node:test";
import { readInto } from "../../../src/http1/read-buffer.ts";

// Sends as many bytes of one value as the client asks for with a line `value length`.
const server = createServer((socket) => {
  socket.on("error", () => {});
  socket.once("data", (line) => {
    const [value, length] = line.toString().split(" ").map(Number);
    socket.end(Buffer.alloc(length as number, value));
  });
});
server.listen(0, "127.0.0.1");
await once(server, "listening");
after(() => server.close());

async function read(value: number, length: number, onRead: () => void = () => {}): Promise<Buffer[]> {
  const chunks: Buffer[] = [];
  const { port } = server.address() as AddressInfo;
  const take = (bytes: Buffer): void => {
    chunks.push(bytes);
    onRead();
  };
  const socket = connect({ port, host: "127.0.0.1", onread: readInto(take, () => socket.destroy()) });
  socket.write(`${value} ${length}`);
  await once(socket, "close");
  return chunks;
}

test("what one connection has read is not written over by others", async () => {
  const lengths = [1, 300, 16_384, 16_385, 70_000, 1_000_000];
  const reads = Array.from({ length: 60 }, (_, index) => ({
    value: index,
    length: lengths[index % lengths.length] as number,
  }));
  const all = await Promise.all(reads.map(({ value, length }) => read(value, length)));
  for (const [index, { value, length }] of reads.entries()) {
    assert.deepEqual(Buffer.concat(all[index] as Buffer[]), Buffer.alloc(length, value), `${length} bytes`);
  }
});

test("more than one read of shared memory holds is handed on in memory of its own", async () => {
  const chunks = await read(7, 1_000_000);
  assert.ok(chunks.some(({ buffer }) => buffer.byteLength === 64 * 1024));
});

test("where anything throws in the turn of a read, no other bytes are taken for what comes next", async (t) => {
  const faults: unknown[] = [];
  process.setUncaughtExceptionCaptureCallback((error) => faults.push(error));
  t.after(() => process.setUncaughtExceptionCaptureCallback(null));
  const fault = new Error("somebody's fault");
  const length = 4_000_000;
  const chunks = await read(7, length, () => {
    if (faults.length > 0) return;
    process.nextTick(() => {
      throw fault;
    });
  });
  assert.ok(faults.length > 0 && faults.every((each) => each === fault));
  const all = Buffer.concat(chunks);
  assert.ok(all.length < length, "it has ended");
  assert.ok(all.equals(Buffer.alloc(all.length, 7)));
});
