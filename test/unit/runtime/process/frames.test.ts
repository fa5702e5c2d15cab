// Frames between a sidecar and a plugin process arrive as they were sent, however they are cut; false ones are
// detected.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { FrameReader, FrameWriter } from "../../../../src/runtime/process/frames.ts";

type Received = [messages: readonly unknown[], blobs: string[]][];

function readerFor(limits = { messageBytes: 1_000, blobBytes: 1_000 }): {
  reader: FrameReader;
  received: Received;
} {
  const received: Received = [];
  const reader = new FrameReader(limits, (messages, blobs) => {
    received.push([messages, blobs.map((blob) => blob.toString("latin1"))]);
  });
  return { reader, received };
}

function frame(kind: number, payload: string, length = Buffer.byteLength(payload)): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(length);
  head[4] = kind;
  return Buffer.concat([head, Buffer.from(payload)]);
}

describe("frames", () => {
  it("hold all messages of a turn, after the bytes that they name", async () => {
    const written: Buffer[] = [];
    const writer = new FrameWriter({ write: (bytes) => written.push(bytes) });
    writer.send(["one", "é\u2028"]);
    writer.send(["two", writer.bytes(Buffer.from([0, 255]))]);
    assert.equal(written.length, 0);
    await new Promise((resolve) => setImmediate(resolve));
    writer.send(["three"]);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(written.length, 2);
    const { reader, received } = readerFor();
    for (const bytes of written) reader.push(bytes);
    assert.deepEqual(received, [
      [
        [
          ["one", "é\u2028"],
          ["two", 0],
        ],
        ["\u0000\u00ff"],
      ],
      [[["three"]], []],
    ]);
  });

  it("are never longer than who reads takes, however much is said in one turn", async () => {
    const written: Buffer[] = [];
    const writer = new FrameWriter({ write: (bytes) => written.push(bytes) });
    const { reader, received } = readerFor({ messageBytes: 1_048_576, blobBytes: 1_048_576 });
    const said = Array.from({ length: 500 }, (_, i) => [i, "é\n".repeat(2_000)]);
    for (const message of said) writer.send(message);
    writer.send(["last", writer.bytes(Buffer.from("its bytes"))]);
    await new Promise((resolve) => setImmediate(resolve));
    for (const bytes of written) reader.push(bytes);
    assert.deepEqual(
      received.flatMap(([messages]) => messages),
      [...said, ["last", 0]],
    );
    assert.deepEqual(received.at(-1)?.[1], ["its bytes"]);
  });

  it("are read alike wherever the socket cuts them", () => {
    const all = Buffer.concat([
      frame(1, "body"),
      frame(0, '[["a"]]'),
      frame(1, ""),
      frame(1, "x"),
      frame(0, "[1,2]"),
    ]);
    fc.assert(
      fc.property(fc.array(fc.nat(all.length), { maxLength: 12 }), (cuts) => {
        const { reader, received } = readerFor();
        const ends = [...cuts.toSorted((a, b) => a - b), all.length];
        ends.reduce((start, end) => (reader.push(all.subarray(start, end)), end), 0);
        assert.deepEqual(received, [
          [[["a"]], ["body"]],
          [
            [1, 2],
            ["", "x"],
          ],
        ]);
      }),
    );
  });

  it("that lie are refused before their bytes have come", () => {
    const refused = (bytes: Buffer, message: RegExp): void =>
      assert.throws(() => readerFor().reader.push(bytes), message);
    refused(frame(0, "", 1_001), /^Error: announced 1001 bytes of messages$/);
    refused(frame(0, "", 0xffffffff), /announced 4294967295 bytes of messages/);
    refused(Buffer.concat([frame(1, "x".repeat(600)), frame(1, "", 401)]), /announced 401 bytes of a body/);
    refused(frame(2, ""), /frame of kind 2/);
    refused(frame(0, "[1,"), /what is no JSON/);
    refused(frame(0, '{"0":1}'), /no list of messages/);
    refused(Buffer.concat(Array.from({ length: 1_025 }, () => frame(1, ""))), /too many bodies/);
  });

  it("leave nothing behind of what was read: the limits are of one frame", () => {
    const { reader, received } = readerFor();
    for (let i = 0; i < 100; i += 1) reader.push(Buffer.concat([frame(1, "x".repeat(900)), frame(0, "[]")]));
    assert.equal(received.length, 100);
  });
});
