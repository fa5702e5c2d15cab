// The minimum rate at which clients read answers; the test controls the time and the kernel's table.
import assert from "node:assert/strict";
import { Socket } from "node:net";
import { test } from "node:test";
import { type Taker, TakingPace } from "../../../src/client/taking-pace.ts";

class Client implements Taker {
  readonly shared = false;
  setIndex = -1;
  waitedMs = 0;
  takenBefore = -1;
  handedBefore = 0;
  readonly socket = new Socket();
  slow = 0;
  /** What the kernel has got, and what the client has taken of it. */
  given = 4_000_000;
  taken = 0;
  handed(): number {
    return this.given;
  }
  tooSlow(): void {
    this.slow += 1;
  }
}

/** @param tells whether the system has a table */
function scene(client: Client, minBytesPerSecond: number, tells = true) {
  let looks = 0;
  const pace = new TakingPace({ minBytesPerSecond, stallMs: 30_000 }, async (sockets) => {
    looks += 1;
    const unacknowledged = client.given - client.taken;
    return new Map(tells ? sockets.map((socket) => [socket, unacknowledged]) : []);
  });
  pace.watch(client);
  /** Seconds go by; each, the client may do something. */
  const pass = async (seconds: number, each: (second: number) => void = () => {}): Promise<void> => {
    for (let second = 1; second <= seconds; second += 1) {
      each(second);
      await pace.tick(1_000);
    }
  };
  return { pace, pass, looks: () => looks };
}

for (const rate of [0, 240]) {
  test(`at a least rate of ${rate}, who takes nothing is told within ten minutes, once`, async () => {
    const client = new Client();
    const { pass } = scene(client, rate);
    await pass(240);
    assert.equal(client.slow, 0);
    await pass(360);
    assert.equal(client.slow, 1);
    assert.equal(client.setIndex, -1);
  });
}

test("who takes 300 bytes a second, shown in steps of 64 KiB, is left alone", async () => {
  const client = new Client();
  const { pass } = scene(client, 240);
  await pass(3_600, (second) => (client.taken = Math.floor((second * 300) / 65_536) * 65_536));
  assert.equal(client.slow, 0);
});

test("who takes less than the least rate is told, whatever it took before", async () => {
  const client = new Client();
  const { pass } = scene(client, 10_000);
  await pass(20, (second) => (client.taken = second * 100_000));
  await pass(120, (second) => (client.taken = 2_000_000 + second * 5_000));
  assert.equal(client.slow, 1);
});

test("without a table, what the writer sees moves by a megabyte, and half a minute later is soon enough", async () => {
  const client = new Client();
  const { pass } = scene(client, 240, false);
  await pass(
    600,
    (second) => (client.given = 4_000_000 + Math.floor((second * 50_000) / 1_400_000) * 1_400_000),
  );
  assert.equal(client.slow, 0);
  await pass(1_200);
  assert.equal(client.slow, 1);
});

test("who moves more than any kernel holds is not looked up", async () => {
  const client = new Client();
  const { pass, looks } = scene(client, 240);
  await pass(69);
  const before = looks();
  await pass(280, (second) => (client.given = 4_000_000 + second * 1_000_000));
  assert.equal(looks(), before);
  assert.equal(client.slow, 0);
});
