// The random bytes of guests: the block function's test vector of RFC 8439 section 2.3.2, except for its nonce and
// counter.
import assert from "node:assert/strict";
import { createCipheriv, randomBytes } from "node:crypto";
import { test } from "node:test";
import { RandomBytes } from "../../../../src/runtime/wasm/shim/random.ts";

test("gives the key stream of ChaCha20, however it is asked for", () => {
  const key = randomBytes(32);
  const cipher = createCipheriv("chacha20", key, Buffer.alloc(16));
  const wanted = cipher.update(Buffer.alloc(1_000)).toString("latin1");
  const random = new RandomBytes(key.toString("latin1"));
  assert.equal(random.take(1) + random.take(0) + random.take(899) + random.take(100), wanted);
});
