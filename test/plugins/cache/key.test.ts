// Who may get a stored answer: callers are told apart by issuer, and by a claim if the policy says so.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createKeyOf } from "../../../plugins/cache/key.ts";
import { readCacheRequest } from "../../../plugins/cache/semantics/request.ts";
import type { Identity } from "../../../src/plugin-api/contract.ts";
import { exchangeOf } from "../../support/exchange.ts";

const keyOf = createKeyOf({ scope: "auto", ignoreQuery: [], sortQuery: false, vary: ["claim:org.id"] }, "");
const shared = (identity?: Partial<Identity>): string => {
  const exchange = exchangeOf(identity === undefined ? {} : { identity });
  return keyOf(exchange, readCacheRequest(exchange.request.fields)).shared;
};

test("a user of one id is another user for each issuer", () => {
  const own = (issuer: string): string => {
    const exchange = exchangeOf({ identity: { userId: "7", method: "ext-auth", issuer } });
    return keyOf(exchange, readCacheRequest(exchange.request.fields)).own;
  };
  assert.notEqual(own("https://one.example"), own("https://two.example"));
  assert.equal(own("https://one.example"), own("https://one.example"));
});

test("a nested claim means what it means to auth and rate-limit", () => {
  const acme = { claims: { org: { id: "acme" } } };
  assert.notEqual(shared(acme), shared({ claims: { org: { id: "globex" } } }));
  assert.equal(shared(acme), shared({ ...acme, userId: "u2" }), "one tenant");
  assert.equal(shared(acme), shared({ claims: { "org.id": "acme" } }), "by its own name");
});

test("callers without the claim have nothing in common", () => {
  const nobody = shared();
  const ann = shared({ userId: "ann" });
  const bob = shared({ userId: "bob" });
  assert.equal(new Set([nobody, ann, bob, shared({ userId: "ann", claims: { org: { id: "-" } } })]).size, 4);
  assert.equal(ann, shared({ userId: "ann" }));
});
