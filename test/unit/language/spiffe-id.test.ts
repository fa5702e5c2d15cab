// SPIFFE ids: the exact syntax.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { compileSpiffePatterns, isSpiffePattern, parseSpiffeId } from "../../../src/language/spiffe-id.ts";

test("ids of workloads are taken apart", () => {
  for (const [text, trustDomain] of [
    ["spiffe://shop.example/cart", "shop.example"],
    ["spiffe://a_b-1/ns/Shop/sa/cart.v2", "a_b-1"],
    [`spiffe://d/${"x".repeat(2_037)}`, "d"],
  ] as const)
    assert.deepEqual(parseSpiffeId(text), { text, trustDomain });
});

test("what the specification does not allow is no id", () => {
  for (const text of [
    "",
    "spiffe://shop.example",
    "spiffe://shop.example/",
    "spiffe:///cart",
    "spiffe:/shop.example/cart",
    "SPIFFE://shop.example/cart",
    "spiffe://Shop.example/cart",
    "spiffe://user@shop.example/cart",
    "spiffe://shop.example:443/cart",
    "spiffe://shop.example/cart/",
    "spiffe://shop.example//cart",
    "spiffe://shop.example/a/../cart",
    "spiffe://shop.example/./cart",
    "spiffe://shop.example/c%61rt",
    "spiffe://shop.example/cart?x",
    "spiffe://shop.example/cart#x",
    "spiffe://shop.example/cart\0",
    "spiffe://shop.example/cart\n",
    "spiffe://shop.example/cärt",
    "https://shop.example/cart",
    ` spiffe://shop.example/cart`,
    `spiffe://${"d".repeat(256)}/cart`,
    `spiffe://d/${"x".repeat(2_038)}`,
  ])
    assert.equal(parseSpiffeId(text), undefined, text);
});

test("a pattern takes itself, or all that is below a slash", () => {
  const matches = compileSpiffePatterns(["spiffe://d/a", "spiffe://d/ns/*"]);
  for (const id of ["spiffe://d/a", "spiffe://d/ns/x", "spiffe://d/ns/x/y"]) assert.ok(matches(id), id);
  for (const id of [
    "spiffe://d/a/b",
    "spiffe://d/ns",
    "spiffe://d/nsx/y",
    "spiffe://e/ns/x",
    "spiffe://d/ab",
  ])
    assert.ok(!matches(id), id);
  assert.ok(isSpiffePattern("spiffe://d/*"));
  for (const text of [
    "*",
    "spiffe://*",
    "spiffe://d*",
    "spiffe://d/a*",
    "spiffe://*/a",
    "spiffe://d/*/a",
    "d/*",
  ])
    assert.ok(!isSpiffePattern(text), text);
});

test("no text makes it throw, and what it takes is what a URL has", () => {
  fc.assert(
    fc.property(fc.string(), (rest) => {
      const id = parseSpiffeId(`spiffe://${rest}`);
      if (id === undefined) return;
      const { host, pathname, href } = new URL(id.text);
      assert.deepEqual([host, `${host}${pathname}`, href], [id.trustDomain, rest, id.text]);
    }),
  );
});
