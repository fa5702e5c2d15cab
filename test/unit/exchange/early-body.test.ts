import assert from "node:assert/strict";
import { test } from "node:test";
import { EarlyBody } from "../../../src/exchange/early-body.ts";

const text = Array.from({ length: 10_000 }, (_, i) => String.fromCharCode(97 + (i % 23))).join("");

function given(): EarlyBody {
  const body = new EarlyBody();
  for (const byte of Buffer.from(text)) body.push(Buffer.of(byte));
  return body;
}

test("a body that comes byte by byte is kept in few parts, in order", async () => {
  const body = given();
  assert.ok(body.chunks.length < 250, `${body.chunks.length} parts`);
  assert.equal(Buffer.concat(body.chunks).toString(), text);
  const whole = body.collect(text.length, () => {});
  body.end([]);
  assert.equal((await whole)?.toString(), text);
});

test("so is one that turns out too long to be collected", async () => {
  const body = given();
  assert.equal(await body.collect(100, assert.fail), undefined);
  assert.equal(Buffer.concat(body.chunks).toString(), text);
});
