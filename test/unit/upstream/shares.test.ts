// Finds clients with more than their share, without a table.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { countOf, dominant } from "../../../src/upstream/shares.ts";

test("finds the client with at least that many of more than half, and nobody else", () => {
  const client = fc.constantFrom("a", "b", "c", undefined);
  fc.assert(
    fc.property(fc.array(fc.record({ client }), { maxLength: 40 }), (claimants) => {
      const least = Math.floor(claimants.length / 2) + 1;
      const expected = ["a", "b", "c"].find((each) => countOf(claimants, each) >= least);
      assert.equal(dominant(claimants, least), expected);
    }),
  );
});
