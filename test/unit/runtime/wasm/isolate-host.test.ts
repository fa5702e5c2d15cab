// A guest in an isolate: its calls, its end, and what stops it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Guest, hooks } from "../../../../src/runtime/wasm/guest-host.ts";
import { isolateHost } from "../../../../src/runtime/wasm/isolate-host.ts";
import { checkModule } from "../../../../src/runtime/wasm/module-check.ts";
import { importNames } from "../../../../src/runtime/wasm/shim-text.ts";
import { scriptGuest } from "../../../support/wasm/guests.ts";

async function guestOf(script: string, timeMs = 2_000): Promise<Guest> {
  const module = checkModule(await scriptGuest(), importNames(), 16);
  const facts = {
    abi: module.abi,
    vmConfiguration: "",
    properties: {},
    clusters: [],
    hosts: [],
    environment: [],
    logLevel: 0,
  };
  const host = await isolateHost();
  const { guest, started } = await host.load(module.bytes, facts, { timeMs, startMs: 5_000 });
  assert.equal(started, 0);
  assert.equal(await guest.configure(1, script), "1l1:212:vm start -> ");
  return guest;
}

const request = "example.com\0/a\0GET\0http\0user-agent\0curl";
const begin = (guest: Guest, context: number): unknown =>
  guest.call(hooks.request, context, 8_192 + 5 * 2 + 1, request, "");

test("tells what a guest did, once a call", async () => {
  const guest = await guestOf("request replace 0 x-a 1\nresponse return 1");
  assert.equal(begin(guest, 2), "0s1:03:x-a1:1l1:228:request replace 0 x-a 1 -> 0");
  assert.equal(guest.call(hooks.response, 2, 2, "200", ""), 1);
  assert.equal(guest.call(hooks.end, 0, 0, "2\x00200", ""), 0);
  guest.dispose();
  guest.dispose();
  assert.throws(() => begin(guest, 3), { name: "GuestFailure" });
});

test("a guest that traps is told with what it said before", async () => {
  const guest = await guestOf("request log 2 before\nrequest trap");
  const answer = String(begin(guest, 2));
  assert.match(answer, /^!\d+:RuntimeError: unreachable/);
  assert.match(answer, /before/);
  guest.dispose();
});

test("a guest that never returns is stopped on this thread", async () => {
  const guest = await guestOf("request spin", 20);
  const startedAt = performance.now();
  assert.throws(() => begin(guest, 2), { name: "GuestFailure", message: "it took too long" });
  // The goal is 30 ms; the machine of a test may be busy.
  assert.ok(performance.now() - startedAt < 500);
  assert.equal(guest.alive, false);
});
