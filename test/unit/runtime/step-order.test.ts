// Which steps of a chain have which hook.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Hooks } from "../../../src/plugin-api/contract.ts";
import { stepOrder } from "../../../src/runtime/step-order.ts";

const step = (name: string, hooks: Hooks) => ({ name, hooks });
const onRequest = (): void => {};
const onResponse = (): void => {};
const onError = (): void => {};
const onComplete = (): void => {};
const recheck = (): void => {};

test("requests go by priority, all that follows the other way", () => {
  const all = { onRequest, onResponse, onError, onComplete };
  assert.deepEqual(stepOrder([step("a", all), step("b", { onRequest, recheck }), step("c", all)]), {
    plugins: ["a", "b", "c"],
    request: [0, 1, 2],
    response: [2, 0],
    error: [2, 0],
    complete: [2, 0],
    recheck: [1],
  });
});

test("routes with the same plugins and hooks share one order, others have their own", () => {
  const first = stepOrder([step("a", { onRequest }), step("b", { onResponse })]);
  assert.equal(
    stepOrder([step("a", { onRequest: () => {} }), step("b", { onResponse: () => {} })]),
    first,
    "another route",
  );
  assert.notDeepEqual(stepOrder([step("a", { onRequest }), step("b", { onRequest })]), first, "other hooks");
  assert.notDeepEqual(stepOrder([step("a", { onRequest }), step("c", { onResponse })]), first, "other names");
  assert.notDeepEqual(stepOrder([step("a", { onRequest })]), first, "fewer");
});
