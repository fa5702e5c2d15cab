// When memory is given back that a crowd of connections took.
import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { CrowdMemory } from "../../../src/client/crowd-memory.ts";

let released = 0;
let memory: CrowdMemory;

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout"] });
  released = 0;
  memory = new CrowdMemory(() => (released += 1));
});
afterEach(() => mock.timers.reset());

/** Connections come or go one by one. */
function turn(from: number, to: number): void {
  for (let open = from; open !== to;) memory.count((open += Math.sign(to - from)));
}

test("it is given back once, a while after most of a crowd has gone", () => {
  turn(0, 4_000);
  turn(4_000, 900);
  mock.timers.tick(4_999);
  assert.equal(released, 0);
  mock.timers.tick(1);
  assert.equal(released, 1);
  turn(900, 0);
  mock.timers.tick(60_000);
  assert.equal(released, 1, "no crowd since");
  turn(0, 1_000);
  turn(1_000, 0);
  mock.timers.tick(5_000);
  assert.equal(released, 2, "the next crowd");
});

test("it is kept for a crowd that stays, or comes again at once", () => {
  turn(0, 4_000);
  turn(4_000, 1_001);
  mock.timers.tick(60_000);
  assert.equal(released, 0, "more than a quarter is left");
  turn(1_001, 0);
  mock.timers.tick(4_000);
  turn(0, 3_000);
  mock.timers.tick(60_000);
  assert.equal(released, 0, "it has come again");
  turn(3_000, 0);
  mock.timers.tick(5_000);
  assert.equal(released, 1, "and goes");
});

test("fewer than a thousand are no crowd", () => {
  turn(0, 999);
  turn(999, 0);
  mock.timers.tick(60_000);
  assert.equal(released, 0);
});
