// Notes that plugins keep for an exchange.
import assert from "node:assert/strict";
import { test } from "node:test";
import { note } from "../../../src/plugin-api/contract.ts";
import { exchangeOf } from "../../support/exchange.ts";

test("a note is one exchange's and one note's, whatever its name", () => {
  const [mine, other] = [note<string>("seen"), note<string>("seen")];
  const [first, second] = [exchangeOf(), exchangeOf()];
  mine.set(first, "a");
  assert.equal(mine.get(first), "a");
  assert.equal(mine.get(second), undefined);
  assert.equal(other.get(first), undefined);
  mine.set(first, "b");
  assert.equal(mine.get(first), "b");
});
