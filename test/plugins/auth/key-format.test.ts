// The shape of API keys: prefix, entropy, checksum.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import {
  createKey,
  hasGoodShape,
  keyDigest,
  keyPrefix,
  parsePeppers,
  pepperedDigest,
} from "../../../plugins/auth/api-keys/key-format.ts";

test("a new key has the prefix, 256 bits and a checksum, and is never the same", () => {
  const keys = Array.from({ length: 500 }, createKey);
  assert.equal(new Set(keys).size, 500);
  for (const key of keys) {
    assert.match(key, /^outrigger_[0-9A-Za-z]{49}$/);
    assert.ok(hasGoodShape(key));
  }
});

test("any single changed character of a key is told by the checksum", () => {
  const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  fc.assert(
    fc.property(fc.nat(48), fc.constantFrom(...Array.from(alphabet)), (place, character) => {
      const key = createKey();
      const at = keyPrefix.length + place;
      const changed = key.slice(0, at) + character + key.slice(at + 1);
      assert.equal(hasGoodShape(changed), changed === key);
    }),
  );
});

test("a key made up in our form is told, whatever it is", () => {
  fc.assert(
    fc.property(
      fc.stringMatching(/^[0-9A-Za-z]{43}$/),
      fc.stringMatching(/^[0-9A-Za-z]{6}$/),
      (body, sum) => {
        const key = createKey();
        fc.pre(!key.endsWith(sum) && body !== key.slice(10, 53));
        assert.equal(hasGoodShape(key.slice(0, -6) + sum), false);
        assert.equal(hasGoodShape(keyPrefix + body + key.slice(-6)), false);
      },
    ),
    // One in 2^32 would be right by chance.
    { numRuns: 200 },
  );
});

test("keys of other shapes are nobody's typo", () => {
  for (const key of ["secret", "sk_live_123", "outrigger_demo", "Outrigger_x", ""])
    assert.ok(hasGoodShape(key));
});

test("digests are hex SHA-256 and HMAC-SHA-256", () => {
  assert.equal(keyDigest("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  // RFC 4231 section 4.3
  const expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
  assert.equal(pepperedDigest("what do ya want for nothing?", "Jefe"), expected);
});

test("peppers come comma-separated, and one that is too short is refused", () => {
  assert.deepEqual(parsePeppers(undefined), []);
  assert.deepEqual(parsePeppers("aaaaaaaaaaaaaaaa, bbbbbbbbbbbbbbbb"), [
    "aaaaaaaaaaaaaaaa",
    "bbbbbbbbbbbbbbbb",
  ]);
  assert.throws(() => parsePeppers("aaaaaaaaaaaaaaaa,short"), /at least 16 characters/);
});
