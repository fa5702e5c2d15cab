// The effect of a plugin process's answer on its exchange, and when it has no effect any more.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { exchangeOf, responseOf } from "outrigger/plugin/testing";
import { ExtensionFields } from "../../../../src/runtime/extension-fields.ts";
import { Calls } from "../../../../src/runtime/process/calls.ts";

const none = [null, null, null, null, false, null];
const setting = (name: string, value: string): unknown => [
  ["set", name, value],
  null,
  null,
  null,
  false,
  null,
];

function scene() {
  const clock = { mono: 1_000 };
  const calls = new Calls(100, 50, () => clock.mono);
  const exchange = exchangeOf({ fields: ["X-A", "1"] });
  const begin = (response?: ReturnType<typeof responseOf>) => {
    const outcome = Promise.withResolvers<unknown>();
    outcome.promise.catch(() => {});
    const id = calls.add({
      hook: response === undefined ? "onRequest" : "onResponse",
      exchange,
      response,
      fields: new ExtensionFields({ readFields: ["*"], writeFields: ["x-a", "x-b"] }),
      startedMono: clock.mono,
      bodyReads: 0,
      signal: exchange.signal,
      resolve: outcome.resolve,
      reject: outcome.reject,
    });
    return { id, outcome: outcome.promise };
  };
  return { clock, calls, exchange, begin };
}

describe("calls of a plugin's process", () => {
  it("are over when each is answered, or has no time left", async () => {
    const { clock, calls, begin } = scene();
    await calls.idle();
    const [one] = [begin(), begin()];
    let isIdle = false;
    const idle = calls.idle().then(() => (isIdle = true));
    calls.answered(one.id, null, none, []);
    await one.outcome;
    assert.equal(isIdle, false);
    clock.mono += 100;
    calls.expire(20);
    await idle;
  });

  it("are answered once, each by its own number", async () => {
    const { calls, exchange, begin } = scene();
    const [one, two] = [begin(), begin()];
    calls.answered(two.id, ["respond", 204, null, null], none, []);
    calls.answered(two.id, ["respond", 200, null, null], setting("X-A", "2"), []);
    calls.answered(one.id, null, setting("X-A", "3"), []);
    for (const id of [0, -1, 99, "1", null, {}]) calls.answered(id, null, setting("X-A", "4"), []);
    assert.deepEqual(await two.outcome, { action: "respond", status: 204, fields: [] });
    assert.equal(await one.outcome, undefined);
    assert.equal(exchange.request.fields.get("x-a"), "3");
    assert.equal(calls.unknown, 7);
  });

  it("change all that they may, or nothing", async () => {
    const { calls, exchange, begin } = scene();
    const response = responseOf(200);
    const { id, outcome } = begin(response);
    const edits = ["set", "X-B", "1"];
    calls.answered(id, null, [edits, [...edits, "set", "Set-Cookie", "a=b"], 201, "body", true, "x"], []);
    await assert.rejects(outcome, /it sets the field "Set-Cookie"/);
    assert.deepEqual(
      [exchange.request.fields.has("x-b"), response.status, exchange.responseIsPersonal],
      [false, 200, false],
    );
    const again = begin(response);
    calls.answered(again.id, null, [edits, edits, 201, "body", true, "why"], []);
    await again.outcome;
    assert.deepEqual(
      [
        exchange.request.fields.get("x-b"),
        response.fields.get("x-b"),
        response.status,
        exchange.refusedBecause,
      ],
      ["1", "1", 201, "why"],
    );
  });

  it("change nothing once nobody waits for them", async () => {
    const { clock, calls, exchange, begin } = scene();
    const { id, outcome } = begin();
    // Whoever waits says when it is over: after a stall of the sidecar, a late reading is no late answer.
    clock.mono += 60;
    exchange.cancelHook(new Error("over"));
    calls.answered(id, null, setting("X-A", "late"), []);
    await assert.rejects(outcome, /too late/);
    assert.equal(exchange.request.fields.get("x-a"), "1");
  });

  it("have as long as the client takes to send a body that they read, and their time again", async () => {
    const { clock, calls, exchange, begin } = scene();
    const { id, outcome } = begin();
    const call = calls.get(id);
    assert.ok(call);
    const read = Promise.withResolvers<string>();
    const reading = calls.whileReading(call, () => read.promise);
    clock.mono += 500;
    assert.deepEqual(calls.expire(20), []);
    read.resolve("body");
    assert.equal(await reading, "body");
    clock.mono += 49;
    assert.deepEqual(calls.expire(20), []);
    calls.answered(id, null, setting("X-A", "read"), []);
    await outcome;
    assert.equal(exchange.request.fields.get("x-a"), "read");
    const late = begin();
    exchange.cancelHook(new Error("over"));
    calls.answered(late.id, null, setting("X-A", "late"), []);
    await assert.rejects(late.outcome, /too late/);
    const hung = begin();
    clock.mono += 71;
    assert.deepEqual(calls.expire(20), [hung.id]);
    await assert.rejects(hung.outcome, /no answer within 50 ms/);
  });
});
