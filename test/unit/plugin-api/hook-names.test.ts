// What a plugin's set-up may return.
import assert from "node:assert/strict";
import { test } from "node:test";
import { hooksReturned } from "../../../src/plugin-api/hook-names.ts";

test("hooks are taken as they are, with what is beside them", () => {
  const beside = { once: 1, check: () => {}, onwards: 2, close: () => {}, clone: 3, documents: {} };
  const hooks = { onRequest: () => undefined, recheck: undefined, ownedRequestFields: ["x-a"], ...beside };
  assert.equal(hooksReturned(hooks), hooks);
  const bare = Object.assign(Object.create(null) as object, { onRequest() {} });
  assert.equal(hooksReturned(bare), bare);
});

test("a misspelt hook is refused by its name: nobody would call it", () => {
  const meant = {
    onRequst: "onRequest",
    onrequest: "onRequest",
    on_response: "onResponse",
    reCheck: "recheck",
    recheckk: "recheck",
    ownedRequestField: "ownedRequestFields",
    headonlyfields: "headOnlyFields",
  };
  for (const [name, hook] of Object.entries(meant))
    assert.throws(() => hooksReturned({ [name]: () => undefined }), {
      message: `set-up returned ${name}, at which nobody looks: did you mean ${hook}?`,
    });
  assert.throws(
    () => hooksReturned({ onBody: () => undefined }),
    /set-up returned onBody, which is no hook: there are onRequest, /,
  );
  class Wrong {
    onRequst() {}
  }
  class Further extends Wrong {}
  assert.throws(() => hooksReturned(new Further()), /did you mean onRequest\?/);
  for (const none of [undefined, null, "hooks"])
    assert.throws(() => hooksReturned(none), /set-up returned no hooks/);
});

test("a hook that the manifest does not name is refused by its name", () => {
  const hooks = { onRequest() {}, onResponse() {}, recheck: undefined };
  assert.equal(hooksReturned(hooks, ["onRequest", "onResponse"]), hooks);
  assert.throws(() => hooksReturned(hooks, ["onResponse"]), {
    message: "its manifest does not name the hook onRequest",
  });
});
