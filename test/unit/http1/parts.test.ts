import assert from "node:assert/strict";
import { test } from "node:test";
import { FieldSection, NEED_MORE } from "../../../src/http1/field-section.ts";
import { addPart, Parts } from "../../../src/http1/parts.ts";
import { StreamBody } from "../../../src/server/http1-net/stream-body.ts";

const text = Array.from({ length: 10_000 }, (_, i) => String.fromCharCode(97 + (i % 23))).join("");
const bytesOf = (whole: string): Buffer[] => Array.from(Buffer.from(whole), (byte) => Buffer.of(byte));

test("bytes that come one by one are put together, in their order", () => {
  const parts = new Parts();
  for (const byte of bytesOf(text)) parts.add(byte);
  const all = parts.take();
  assert.equal(Buffer.concat(all).toString(), text);
  assert.ok(all.length < 250, `${all.length} parts`);
  assert.equal(parts.take().length, 0);
});

test("large parts are not copied", () => {
  const parts: Buffer[] = [];
  const large = Array.from({ length: 200 }, () => Buffer.alloc(4_096));
  let loose = 0;
  for (const each of large) loose = addPart(parts, each, loose);
  assert.deepEqual(
    parts.map((each, i) => each === large[i]),
    large.map(() => true),
  );
});

test("a body that waits for its reader keeps its bytes, not a part for each of them", async () => {
  const body = new StreamBody({ pauseReading: () => {}, resumeReading: () => {} }, false);
  for (const byte of bytesOf(text)) body.push(byte);
  body.end([]);
  const heard: string[] = [];
  await new Promise<void>((resolve) =>
    body.read({
      onData: (chunk) => {
        heard.push(chunk.toString());
        // It stops after every other one.
        if (heard.length % 2 === 0) return;
        body.pause();
        setImmediate(() => body.resume());
      },
      onEnd: () => resolve(),
      onBroken: assert.fail,
      onStall: assert.fail,
    }),
  );
  assert.equal(heard.join(""), text);
  assert.ok(heard.length < 250, `${heard.length} parts`);
});

test("so does a head whose bytes come one by one", ({ mock }) => {
  const { mock: concats } = mock.method(Buffer, "concat");
  const section = new FieldSection();
  for (const byte of bytesOf(`X-Y: ${text}\r\n\r`)) assert.equal(section.read(byte, 0), NEED_MORE);
  assert.equal(section.read(Buffer.from("\n"), 0), 1);
  assert.deepEqual(section.fields, ["X-Y", text]);
  const mostParts = Math.max(...concats.calls.map(({ arguments: [list] }) => list.length));
  assert.ok(mostParts <= 64, `${mostParts} parts`);
});
