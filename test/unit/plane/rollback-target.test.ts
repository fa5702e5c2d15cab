// The target of a rollback that names no revision.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Revision } from "../../../src/plane/revision.ts";
import { revisionBefore, rollbackReason } from "../../../src/plane/rollback-target.ts";

function revision(number: number, digest: string, more: Partial<Revision> = {}): Revision {
  return {
    revision: number,
    kind: "apply",
    at: "2026-01-01T00:00:00.000Z",
    author: "ada",
    reason: "",
    digest,
    base: number - 1,
    bytes: 1,
    deleted: false,
    signedEpoch: null,
    reporter: null,
    ...more,
  };
}
const applied = [revision(1, "a"), revision(2, "b"), revision(3, "c")];
const back = (number: number, digest: string, reason = ""): Revision =>
  revision(number, digest, { kind: "rollback", reason });

test("to the one before", () => {
  assert.equal(revisionBefore(applied, 3), 2);
  assert.equal(revisionBefore([...applied, back(4, "b"), revision(5, "d")], 5), 4);
});

test("twice in a row further back, and not to what was rolled back", () => {
  assert.equal(revisionBefore([...applied, back(4, "b")], 4), 1);
  assert.equal(revisionBefore([...applied, back(4, "b"), back(5, "a")], 5), 0);
});

test("what was signed anew on the way back is known by its reason", () => {
  for (const reason of [rollbackReason(2), rollbackReason(2, "incident 7: it leaks")])
    assert.equal(revisionBefore([...applied, back(4, "b2", reason)], 4), 1, reason);
});

test("over numbers that are missing, where a relay brought them from another region", () => {
  assert.equal(revisionBefore([...applied, revision(50, "d")], 50), 3);
  assert.equal(revisionBefore([revision(3, "c"), revision(40, "d"), back(50, "d")], 50), 3);
});

test("of what nothing is known, to the one before", () => {
  assert.equal(revisionBefore([back(7, "x", "because")], 7), 6);
  assert.equal(revisionBefore([], 7), 6);
});
