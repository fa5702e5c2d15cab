// What a plugin's set-up may return.
import assert from "node:assert/strict";
import { test } from "node:test";
import { hooksReturned } from "../../../src/plugin-api/hook-names.ts";

test("hooks are taken as they are, with what is beside them", () => {
  const hooks = { onRequest: () => undefined, recheck: undefined, ownedRequestFields: ["x-a"], once: 1 };
  assert.equal(hooksReturned(hooks), hooks);
});

test("a misspelt hook is refused by its name: nobody would call it", () => {
  const wrong = { onRequst: () => undefined };
  assert.throws(
    () => hooksReturned(wrong),
    /set-up returned onRequst, which is no hook: there are onRequest, /,
  );
  for (const none of [undefined, null, "hooks"])
    assert.throws(() => hooksReturned(none), /set-up returned no hooks/);
});
