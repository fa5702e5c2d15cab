import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Fields } from "../../../src/plugin-api/fields.ts";

describe("Fields", () => {
  it("keeps order and spelling, and is found in lower case", () => {
    const fields = new Fields(["Host", "a", "X-One", "1", "x-one", "2", "Cookie", "a=1", "cookie", "b=2"]);
    assert.deepEqual(fields.toFlat(), [
      "Host",
      "a",
      "X-One",
      "1",
      "x-one",
      "2",
      "Cookie",
      "a=1",
      "cookie",
      "b=2",
    ]);
    assert.equal(fields.get("x-one"), "1, 2");
    assert.equal(fields.get("cookie"), "a=1; b=2");
    assert.deepEqual(fields.getAll("x-one"), ["1", "2"]);
    assert.equal(fields.get("absent"), undefined);
  });

  it("is found as it is spelled on the wire, too", () => {
    const fields = new Fields(["X-One", "1", "x_one", "2", "Host", "a"]);
    assert.equal(fields.get("X-One"), "1, 2");
    assert.equal(fields.get("X_ONE"), "1, 2");
    assert.deepEqual(fields.getAll("X-One"), ["1", "2"]);
    assert.deepEqual([fields.has("Host"), fields.has("Hosts")], [true, false]);
    assert.equal(fields.get("Hosts"), undefined);
    fields.delete("X-One");
    assert.deepEqual(fields.toFlat(), ["Host", "a"]);
  });

  it("set leaves one line in the first one's place", () => {
    const fields = new Fields(["A", "1", "B", "2", "a", "3"]);
    fields.set("A", "x");
    assert.deepEqual(fields.toFlat(), ["A", "x", "B", "2"]);
  });

  it("copies what it is given", () => {
    const flat = ["A", "1"];
    const fields = new Fields(flat);
    const copy = fields.copy();
    fields.append("B", "2");
    assert.deepEqual(flat, ["A", "1"]);
    assert.deepEqual(copy.toFlat(), ["A", "1"]);
  });

  it("behaves like a list of lines under any operations", () => {
    const name = fc.constantFrom("A", "a", "B", "b-C");
    const operation = fc.oneof(
      fc.record({ kind: fc.constant("set" as const), name, value: fc.string() }),
      fc.record({ kind: fc.constant("append" as const), name, value: fc.string() }),
      fc.record({ kind: fc.constant("delete" as const), name, value: fc.string() }),
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 30 }), (operations) => {
        const fields = new Fields();
        let model: [string, string][] = [];
        for (const { kind, name: key, value } of operations) {
          const lower = key.toLowerCase();
          if (kind === "append") {
            fields.append(key, value);
            model.push([key, value]);
          } else if (kind === "delete") {
            fields.delete(lower);
            model = model.filter(([each]) => each.toLowerCase() !== lower);
          } else {
            fields.set(key, value);
            const first = model.findIndex(([each]) => each.toLowerCase() === lower);
            if (first === -1) model.push([key, value]);
            else {
              model[first] = [key, value];
              model = model.filter(([each], index) => index <= first || each.toLowerCase() !== lower);
            }
          }
          assert.deepEqual(fields.toFlat(), model.flat());
          assert.equal(fields.size, model.length);
        }
      }),
    );
  });
});
