// Data in Redis counts only as it was written: for its key, purpose, service and time.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { createSeals, parseStoreKeys } from "../../../src/redis/seals.ts";

const key = randomBytes(32).toString("base64url");
const value = Buffer.from("a value");
const seal = createSeals([key], "outrigger:", "orders").of("cache");

test("a sealed value opens until its time is over", () => {
  const sealed = seal.seal("k", value, 1_000);
  assert.deepEqual(seal.open("k", sealed, 1_000), value);
  assert.equal(seal.open("k", sealed, 1_001), undefined);
});

test("nothing passes for another key, purpose, service, prefix or secret", () => {
  const sealed = seal.seal("k", value, 1_000);
  const others = [
    createSeals([key], "outrigger:", "orders").of("purges"),
    createSeals([key], "outrigger:", "users").of("cache"),
    createSeals([key], "other:", "orders").of("cache"),
    createSeals([randomBytes(32).toString("base64url")], "outrigger:", "orders").of("cache"),
  ];
  for (const other of others) assert.equal(other.open("k", sealed, 0), undefined);
  assert.equal(seal.open("k2", sealed, 0), undefined);
});

test("the newest key seals, older ones still open", () => {
  const next = randomBytes(32).toString("base64url");
  const rotated = createSeals([next, key], "outrigger:", "orders").of("cache");
  assert.deepEqual(rotated.open("k", seal.seal("k", value, 1_000), 0), value);
  const onlyNext = createSeals([next], "outrigger:", "orders").of("cache");
  assert.deepEqual(onlyNext.open("k", rotated.seal("k", value, 1_000), 0), value);
});

test("property: no bit can be changed, and no bytes of others open", () => {
  const sealed = seal.seal("k", value, 1_000);
  fc.assert(
    fc.property(fc.nat(sealed.length * 8 - 1), (bit) => {
      const changed = Buffer.from(sealed);
      changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7));
      assert.equal(seal.open("k", changed, 0), undefined);
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      assert.equal(seal.open("k", Buffer.from(bytes), 0), undefined);
    }),
  );
});

test("keys are 32 bytes in base64url, or refused without being shown", () => {
  const text = randomBytes(32).toString("base64url");
  assert.equal(parseStoreKeys(`${text}, ${text}`).length, 2);
  for (const bad of ["", "short", `${text},`, `${text}A`, text.replace(/./, "+")])
    assert.throws(
      () => parseStoreKeys(bad),
      (error: Error) => !error.message.includes(text.slice(1, 20)),
    );
});
