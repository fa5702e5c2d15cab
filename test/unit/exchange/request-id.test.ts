import assert from "node:assert/strict";
import { test } from "node:test";
import { newRequestId } from "../../../src/exchange/request-id.ts";

test("ids are UUIDs of version 4, and none comes twice", () => {
  const ids = Array.from({ length: 10_000 }, newRequestId);
  for (const id of ids)
    assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal(new Set(ids).size, ids.length);
});

test("every digit that is free takes every value", () => {
  const ids = Array.from({ length: 10_000 }, newRequestId);
  for (let at = 0; at < 36; at += 1) {
    const seen = new Set(ids.map((id) => id[at])).size;
    const isFixed = [8, 13, 14, 18, 23].includes(at);
    assert.equal(seen, isFixed ? 1 : at === 19 ? 4 : 16, `digit ${at}`);
  }
});
