// When the memory of a crowd of connections is released.
import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { CrowdMemory } from "../../../src/client/crowd-memory.ts";

let released = 0;
/** As the timers have it, and what pauses take. */
let nowMono = 0;
let pauseMs = 0;
let memory: CrowdMemory;

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout"] });
  [released, nowMono, pauseMs] = [0, 0, 25];
  const release = (): void => {
    released += 1;
    nowMono += pauseMs;
  };
  memory = new CrowdMemory(release, () => nowMono);
});
afterEach(() => mock.timers.reset());

function pass(ms: number): void {
  nowMono += ms;
  mock.timers.tick(ms);
}

/** Connections come or go one by one. */
function turn(from: number, to: number): void {
  for (let open = from; open !== to;) memory.count((open += Math.sign(to - from)));
}

test("it is given back once, a while after most of a crowd has gone", () => {
  turn(0, 4_000);
  turn(4_000, 900);
  pass(4_999);
  assert.equal(released, 0);
  pass(1);
  assert.equal(released, 1);
  turn(900, 0);
  pass(60_000);
  assert.equal(released, 1, "no crowd since");
  turn(0, 1_000);
  turn(1_000, 0);
  pass(5_000);
  assert.equal(released, 2, "the next crowd");
});

test("it is kept for a crowd that stays, or comes again at once", () => {
  turn(0, 4_000);
  turn(4_000, 1_001);
  pass(60_000);
  assert.equal(released, 0, "more than a quarter is left");
  turn(1_001, 0);
  pass(4_000);
  turn(0, 3_000);
  pass(60_000);
  assert.equal(released, 0, "it has come again");
  turn(3_000, 0);
  pass(5_000);
  assert.equal(released, 1, "and goes");
});

test("fewer than a thousand are no crowd", () => {
  turn(0, 999);
  turn(999, 0);
  pass(60_000);
  assert.equal(released, 0);
});

/** A crowd comes and goes over and over. */
function turnsUntil(endMono: number): void {
  while (nowMono < endMono) {
    turn(0, 1_000);
    turn(1_000, 0);
    pass(1_000);
  }
}

test("crowds that come and go over and over are a pause a minute at most", () => {
  turnsUntil(60_000);
  assert.equal(released, 1);
  turnsUntil(600_000);
  assert.ok(released >= 9 && released <= 10, String(released));
});

test("where pauses are long they are as much rarer", () => {
  pauseMs = 400;
  turnsUntil(400_000);
  assert.equal(released, 1, "400 s later at the soonest");
  turnsUntil(900_000);
  assert.equal(released, 3);
});
