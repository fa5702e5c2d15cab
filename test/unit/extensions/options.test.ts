// Options checked by the JSON Schema of a manifest, which may be written so that a check never ends.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { optionsSchema } from "../../../src/extensions/options.ts";

const said = (options: Record<string, unknown>, value: unknown): string[] =>
  (optionsSchema({ options }).safeParse(value).error?.issues ?? []).map(
    ({ path, message }) => `${path.join(".")}: ${message}`,
  );
/** Each level refers twice to the next: 2 to the power of `levels` checks. */
function laughs(levels: number): Record<string, unknown> {
  const $defs: Record<string, unknown> = { [`d${levels}`]: { type: "string" } };
  for (let level = 0; level < levels; level += 1) {
    const next = { $ref: `#/$defs/d${level + 1}` };
    $defs[`d${level}`] = { anyOf: [next, next] };
  }
  return { $defs, $ref: "#/$defs/d0" };
}

// All checks in one turn of the event loop have one time limit, too.
beforeEach(() => nextTurn());

test("options are checked by it, with their places and what it fills in", () => {
  const options = {
    type: "object",
    properties: {
      country: { type: "string", pattern: "^[A-Z]{2}$", default: "CH" },
      near: { type: "array", items: { type: "object", properties: { km: { type: "number", minimum: 1 } } } },
    },
    additionalProperties: false,
  };
  assert.deepEqual(optionsSchema({ options }).parse({}), { country: "CH" });
  assert.deepEqual(said(options, { country: "che", near: [{ km: 0 }] }), [
    "country: Invalid string: must match pattern /^[A-Z]{2}$/",
    "near.0.km: Too small: expected number to be >=1",
  ]);
  assert.deepEqual(said(options, { other: 1 }), [': Unrecognized key: "other"']);
});

test("no schema at all takes any object, and nothing else", () => {
  assert.deepEqual(said({}, { a: [1] }), []);
  assert.deepEqual(said({}, "text"), [": Invalid input: expected record, received string"]);
});

test("what cannot be a schema is told", () => {
  assert.throws(() => optionsSchema({ options: { type: "banana" } }), /banana/);
  assert.throws(() => optionsSchema({ options: { type: "string", pattern: "(" } }), /Unterminated group/);
  assert.throws(() => optionsSchema({ options: { $ref: "https://x.example/y" } }), /External \$ref/);
  assert.throws(() => optionsSchema({ options: { description: "x".repeat(70_000) } }), /longer than 65536/);
});

test("checks that would take for ever, or long each, have one time limit together", async (t) => {
  // The tests before it have spent some of the time, more on a busy machine.
  let now = performance.now() + 60_000;
  t.mock.method(performance, "now", () => now);
  const tooLong = /takes longer than 30 ms/;
  const late = new RegExp(`cannot be checked.*${tooLong.source}`);
  const pattern = { type: "object", properties: { a: { type: "string", pattern: "^(a+)+$" } } };
  const schema = optionsSchema({ options: pattern });
  assert.ok(schema.safeParse({ a: "aaa" }).success);
  const before = process.threadCpuUsage();
  for (let route = 0; route < 100; route += 1) {
    const { error } = schema.safeParse({ a: `${"a".repeat(24)}!`, route });
    if (route === 99) assert.match(error?.message ?? "", late);
  }
  // Another package with as much to check.
  for (let other = 0; other < 10; other += 1)
    assert.throws(
      () => assert.fail(said({ ...laughs(30), title: String(other) }, { a: 1 }).join("")),
      tooLong,
    );
  const { user, system } = process.threadCpuUsage(before);
  assert.ok(user + system < 100_000, `${user + system} microseconds`);
  await nextTurn();
  // One that costs what is ordinary is none the worse for them.
  assert.deepEqual(said({ type: "string", pattern: "^b$" }, "b"), []);
  now += 60_000;
  assert.match(said({ allOf: [{ $ref: "#" }] }, { a: 1 }).join(""), /cannot be checked.*call stack/);
});

test("equal options are checked once", (t) => {
  t.mock.method(performance, "now", () => 1_000_000);
  const value = { a: `${"a".repeat(18)}!` };
  const options = { type: "object", properties: { a: { type: "string", pattern: "^(a+)+$" } }, title: "x" };
  const before = process.threadCpuUsage();
  for (let route = 0; route < 1_000; route += 1)
    assert.match(said(options, { ...value }).join(""), /a: Invalid string/);
  const { user, system } = process.threadCpuUsage(before);
  assert.ok(user + system < 2_000_000, `${user + system} microseconds`);
});
