// Messages of a plugin process are parsed strictly: invalid ones are detected, and none pollutes prototypes.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { GatewayError } from "../../../../src/plugin-api/errors.ts";
import { changes, declared, error, Unreadable, verdict } from "../../../../src/runtime/process/received.ts";

const blobs = [Buffer.from("bytes"), Buffer.alloc(101)];
const read = (value: unknown): unknown => verdict(value, blobs, 100);

describe("what a plugin's process says", () => {
  it("is a verdict", () => {
    assert.equal(read(null), undefined);
    assert.deepEqual(read(["respond", 203, ["X-A", "1"], 0]), {
      action: "respond",
      status: 203,
      fields: ["X-A", "1"],
      body: blobs[0],
    });
    assert.deepEqual(read(["respond", 204, null, null]), { action: "respond", status: 204, fields: [] });
    const rejected = read(["reject", ["forbidden", "No.", [], "about:blank", { a: 1 }]]) as {
      error: GatewayError;
    };
    assert.ok(rejected.error instanceof GatewayError);
    assert.deepEqual([rejected.error.code, rejected.error.members], ["forbidden", { a: 1 }]);
  });

  it("is not nested so deep that nobody could write it out", () => {
    const nested = (levels: number): unknown => JSON.parse(`${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`);
    const taken = error(["forbidden", "No.", [], "about:blank", nested(32)]);
    assert.deepEqual(taken.members, nested(32));
    for (const levels of [33, 200_000])
      assert.throws(() => error(["forbidden", "No.", [], "about:blank", nested(levels)]), /deeper than 32/);
  });

  it("is no verdict", () => {
    const respond = (...rest: unknown[]): unknown[] => ["respond", ...rest];
    const wrong = [
      undefined,
      1,
      {},
      [],
      ["allow"],
      respond("200", null, null),
      respond(101, null, null),
      respond(200.5, null, null),
      respond(200, ["X-A"], null),
      respond(200, [["X-A", "1"]], null),
      respond(
        200,
        Array.from({ length: 514 }, () => "a"),
        null,
      ),
      respond(200, null, 7),
      respond(200, null, -1),
      respond(200, null, 1),
      respond(200, null, { length: 1 }),
      ["reject", ["toString", "", [], "", {}]],
      ["reject", ["__proto__", "", [], "", {}]],
      ["reject", ["forbidden", 1, [], "", {}]],
      ["reject", ["forbidden", "", [], "", []]],
      ["reject", "forbidden"],
    ];
    for (const value of wrong) assert.throws(() => read(value), Unreadable, JSON.stringify(value));
  });

  it("is a list of changes, or none", () => {
    const read = (...value: unknown[]): unknown => changes(value, blobs, 100);
    assert.deepEqual(read(["set", "X-A", "1"], null, null, null, false, null), {
      request: ["set", "X-A", "1"],
      response: [],
      status: undefined,
      body: undefined,
      responseIsPersonal: false,
      refusedBecause: undefined,
    });
    for (const edits of [
      ["set", "X-A"],
      ["move", "X-A", "1"],
      ["set", "X-A", 1],
      [["set", "X-A", "1"]],
      "set",
      {},
    ])
      assert.throws(() => read(edits, null, null, null, false, null), Unreadable, JSON.stringify(edits));
    for (const status of ["200", 99, 1_000, {}])
      assert.throws(() => read(null, null, status, null, false, null), Unreadable);
  });

  it("says which hooks there are", () => {
    const well = { hooks: ["onRequest"], ownedRequestFields: ["X_Geo"], headOnlyFields: [] };
    assert.deepEqual(declared(well), { ...well, ownedRequestFields: ["x-geo"] });
    for (const value of [
      null,
      {},
      { ...well, hooks: ["onEverything"] },
      { ...well, headOnlyFields: ["a b"] },
    ])
      assert.throws(() => declared(value), Unreadable);
  });

  it("pollutes nothing, whatever it is", () => {
    const members = JSON.parse(
      '{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}',
    ) as unknown;
    const made = error(["forbidden", "No.", [], "about:blank", members]);
    assert.equal(JSON.parse(JSON.stringify({ ...made.members })).polluted, undefined);
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        for (const take of [read, error, declared, (given: unknown) => changes(given, blobs, 100)]) {
          try {
            take(value);
          } catch (thrown) {
            assert.ok(thrown instanceof Unreadable, String(thrown));
          }
        }
        assert.equal(({} as { polluted?: true }).polluted, undefined);
      }),
    );
  });
});
