// Cached verdicts on tokens: whose they are, and how long they are valid.
import assert from "node:assert/strict";
import { test } from "node:test";
import { accepted, refused } from "../../../plugins/auth/auth-result.ts";
import { TokenCache } from "../../../plugins/auth/tokens/token-cache.ts";
import { identityOf } from "../../support/exchange.ts";

const known = accepted(identityOf({ userId: "u1" }));
const bad = refused("jwt", "token: signature");
// Digests of 32 bytes that share the bits by which they are found.
const one = "same".padEnd(32, "\u00ff");
const other = "same".padEnd(32, "\u0000");

test("a token is never taken for another whose digest begins alike", () => {
  const cache = new TokenCache(1_000_000);
  cache.accept(one, known, 1000, 100);
  assert.equal(cache.get(one, 0), known);
  assert.equal(cache.get(other, 0), undefined);
  cache.refuse(other, bad, 1000);
  assert.equal(cache.get(other, 0), bad);
  assert.equal(cache.get(one, 0), known);
});

test("a verdict ends with its time and with the key that vouched for it", () => {
  const cache = new TokenCache(1_000_000);
  const mark = { stale: false, goodUntilMs: Infinity };
  cache.accept(one, known, 1000, 100, mark);
  assert.equal(cache.get(one, 999), known);
  assert.equal(cache.get(one, 1000), undefined);
  assert.equal(cache.size, 0, "what is over is not kept");
  cache.accept(one, known, 1000, 100, mark);
  mark.stale = true;
  assert.equal(cache.get(one, 0), undefined);
  cache.refuse(one, bad, 1000, { stale: true, goodUntilMs: Infinity });
  assert.equal(cache.get(one, 0), undefined);
});

test("without room for verified tokens, refusals are still remembered", () => {
  const cache = new TokenCache(0);
  cache.accept(one, known, 1000, 100);
  cache.refuse(other, bad, 1000);
  assert.deepEqual([cache.get(one, 0), cache.get(other, 0)], [undefined, bad]);
});
