// The JSON reader agrees with JSON.parse on what is valid JSON, and finds problems that JSON.parse hides.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { readJson } from "../../../../src/policy/document/json.ts";
import { problemsOf } from "../sample.ts";

function accepts(parse: () => unknown): boolean {
  try {
    parse();
    return true;
  } catch {
    return false;
  }
}

describe("the JSON reader", () => {
  test("reads whatever JSON.stringify writes, with any white space", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 6 }), fc.constantFrom(0, 1, "\t"), (value, indent) => {
        const text = JSON.stringify(value, undefined, indent);
        const reading = readJson(` \r\n${text}\n`);
        if (reading.problems.length === 0) assert.deepEqual(reading.value, JSON.parse(text));
        else assert.match(text, /__proto__|constructor|prototype/);
      }),
    );
  });

  test("refuses exactly the texts that JSON.parse refuses", () => {
    const piece = fc.constantFrom(
      "{",
      "}",
      "[",
      "]",
      ":",
      ",",
      '"',
      '"a"',
      "\\",
      "\\u00",
      "1",
      "-",
      "0",
      ".5",
      "e9",
      "tru",
      "true",
      "null",
      " ",
      "\n",
      "'",
      "\u0001",
    );
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join("")),
        (text) => {
          // A name given twice is noted, not thrown, so both readers agree on the grammar alone.
          assert.equal(
            accepts(() => readJson(text)),
            accepts(() => JSON.parse(text)),
            text,
          );
        },
      ),
      { numRuns: 3000 },
    );
  });

  test("refuses exactly what JSON.parse refuses of texts that are JSON but for one character", () => {
    const character = fc.constantFrom(...'{}[]:,"\\01-.eE tfn\n'.split(""));
    const spoilt = fc
      .tuple(fc.jsonValue({ maxDepth: 3 }), fc.nat(), character, fc.constantFrom(0, 1))
      .map(([value, at, inserted, removed]) => {
        const text = JSON.stringify(value);
        const index = at % (text.length + 1);
        return text.slice(0, index) + inserted + text.slice(index + removed);
      });
    fc.assert(
      fc.property(spoilt, (text) => {
        assert.equal(
          accepts(() => readJson(text)),
          accepts(() => JSON.parse(text)),
          text,
        );
      }),
      { numRuns: 5000 },
    );
  });

  test("finds a name given twice, however it is escaped, with its place", () => {
    const reading = readJson('{\n  "a": 1,\n  "b": [{ "x": 1, "\\u0078": 2 }],\n  "a": 3\n}');
    assert.deepEqual(reading.problems, [
      { path: "b[0].x", message: "given twice", line: 3, column: 19 },
      { path: "a", message: "given twice", line: 4, column: 3 },
    ]);
  });

  test("says where it stopped understanding, and quotes nothing", async () => {
    const [problem] = await problemsOf(() => readJson('{\n "a": hunter2\n}'));
    assert.deepEqual(problem, {
      path: "a",
      message: "is not JSON: unexpected character",
      line: 2,
      column: 7,
    });
  });

  test("refuses depth without running out of stack", async () => {
    const [problem] = await problemsOf(() => readJson("[".repeat(1_000_000)));
    assert.equal(problem?.message, "nested deeper than 32 levels");
  });

  test("locates a field, or the nearest thing around it", () => {
    const reading = readJson('{\n "a": {\n  "b": [1,\n 2] } }');
    assert.deepEqual(reading.locate(["a", "b", 1]), { line: 4, column: 2 });
    assert.deepEqual(reading.locate(["a", "c", "d"]), { line: 2, column: 2 });
    assert.deepEqual(reading.locate(["z"]), {});
  });
});
