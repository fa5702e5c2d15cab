// The minimum rate of clients, over a window of a tenth of a second.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Pace, type Paced } from "../../../src/client/pace.ts";
import { eventually } from "../../support/redis.ts";

class Client implements Paced {
  setIndex = -1;
  windowMs = 0;
  windowBegan = 0;
  bytes = 0;
  slow = 0;
  moved(): number {
    return this.bytes;
  }
  tooSlow(): void {
    this.slow += 1;
  }
}

test("only who is waited for and moves too little is told, once", async () => {
  const pace = new Pace(1000, 100);
  const [silent, brisk, left] = [new Client(), new Client(), new Client()];
  for (const each of [silent, brisk, left]) pace.watch(each);
  pace.leave(left);
  const moving = setInterval(() => (brisk.bytes += 1000), 5);
  await eventually("the silent one", () => silent.slow === 1, 4_000);
  const slowAgain = new Client();
  pace.watch(slowAgain);
  await eventually("another window", () => slowAgain.slow === 1, 4_000);
  clearInterval(moving);
  assert.deepEqual([silent.slow, brisk.slow, left.slow], [1, 0, 0]);
  pace.leave(brisk);
});

test("what was moved quickly at first is no credit for later", async () => {
  const pace = new Pace(1000, 100);
  const client = new Client();
  client.bytes = 1_000_000;
  pace.watch(client);
  await eventually("its end", () => client.slow === 1, 4_000);
});

test("a rate of 0 is any", () => {
  const client = new Client();
  new Pace(0).watch(client);
  assert.equal(client.setIndex, -1);
});
