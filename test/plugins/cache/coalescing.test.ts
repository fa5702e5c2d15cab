// Simultaneous misses of one key become one upstream request, and no waiting request gets stuck.
import assert from "node:assert/strict";
import { test } from "node:test";
import type http from "node:http";
import { allArrived, answering, gate, startBench, until, type Answer, type CacheBench } from "./harness.ts";

function many(bench: CacheBench, count: number, headers: http.OutgoingHttpHeaders = {}): Promise<Answer[]> {
  return Promise.all(Array.from({ length: count }, () => bench.ask("/thing", { headers })));
}

/**
 * Of 20 requests one asks and the others wait; once the door is open they ask side by side, each for itself.
 * @param running how many the service got
 */
async function releasedAtOnce(
  bench: CacheBench,
  running: () => number,
  door: ReturnType<typeof gate>,
  last: ReturnType<typeof gate>,
): Promise<void> {
  const answers = many(bench, 20);
  await until("the first request", () => running() === 1);
  await allArrived(bench);
  assert.equal(running(), 1);
  door.open();
  await until("all the others, side by side", () => running() === 20);
  last.open();
  assert.equal(new Set((await answers).map(({ text }) => text)).size, 20);
}

test("256 simultaneous misses are one upstream request", async () => {
  const door = gate();
  const bench = await startBench({
    service: (_request, response) => {
      void door.opened.then(() => {
        response.setHeader("Cache-Control", "max-age=60");
        response.end("once");
      });
    },
  });
  try {
    const answers = many(bench, 256);
    await until("the first request", () => bench.asked.length === 1);
    await allArrived(bench);
    door.open();
    for (const { status, text } of await answers) assert.deepEqual([status, text], [200, "once"]);
    assert.equal(bench.asked.length, 1);
    assert.equal((await bench.counted("collapsed")) + (await bench.counted("hit")), 255);
  } finally {
    await bench.stop();
  }
});

test("an uncacheable answer releases all who wait at its head, at once", async () => {
  const [door, last, further] = [gate(), gate(), gate()];
  let running = 0;
  const bench = await startBench({
    service: (_request, response, count) => {
      running += 1;
      const opened = count === 1 ? door.opened : count <= 20 ? last.opened : further.opened;
      void opened.then(() => {
        response.setHeader("Cache-Control", "no-store");
        response.end(`own ${count}`);
      });
    },
  });
  try {
    await releasedAtOnce(bench, () => running, door, last);
    // The next ones do not wait for each other any more.
    const again = many(bench, 5);
    await until("five at once", () => running === 25);
    further.open();
    await again;
  } finally {
    await bench.stop();
  }
});

test("a 304 that forbids to store what was stored releases all who wait for it, at once", async () => {
  const [door, last] = [gate(), gate()];
  let running = 0;
  const bench = await startBench({
    service: (request, response, count) => {
      running += 1;
      const opened = count === 1 ? Promise.resolve() : count === 2 ? door.opened : last.opened;
      void opened.then(() => {
        response.setHeader("Cache-Control", count === 1 ? "max-age=10" : "no-store");
        response.setHeader("ETag", '"v1"');
        if (request.headers["if-none-match"] === '"v1"' && count === 2) response.writeHead(304).end();
        else response.end(`own ${count}`);
      });
    },
  });
  try {
    assert.equal((await bench.ask("/thing")).text, "own 1");
    bench.clock.advanceSeconds(20);
    running = 0;
    await releasedAtOnce(bench, () => running, door, last);
  } finally {
    await bench.stop();
  }
});

test("when the client of the one who asks leaves, another one asks for the rest", async () => {
  const doors = [gate(), gate()];
  const bench = await startBench({
    service: (_request, response, count) => {
      void doors[count - 1]?.opened.then(() => {
        response.setHeader("Cache-Control", "max-age=60");
        response.end(`by ${count}`);
      });
    },
  });
  try {
    const leaving = new AbortController();
    const left = bench.ask("/thing", { signal: leaving.signal }).catch(() => "left");
    await until("the first request", () => bench.asked.length === 1);
    const answers = many(bench, 10);
    await allArrived(bench);
    leaving.abort();
    assert.equal(await left, "left");
    await until("the second request", () => bench.asked.length === 2);
    doors[1]?.open();
    for (const { text } of await answers) assert.equal(text, "by 2");
    assert.equal(bench.asked.length, 2);
  } finally {
    await bench.stop();
  }
});

for (const [where, begun] of [
  ["before its head", false],
  ["in the middle of its body", true],
] as const) {
  test(`when the upstream breaks off ${where}, the others share the failure`, async () => {
    const door = gate();
    const bench = await startBench({
      service: (request, response, count) => {
        if (count > 1) {
          answering({ "Cache-Control": "max-age=60" })(request, response, count);
          return;
        }
        if (begun)
          response.writeHead(200, { "Cache-Control": "max-age=60", "Content-Length": "9" }).write("a");
        void door.opened.then(() => response.socket?.destroy());
      },
    });
    try {
      const leader = bench.ask("/thing").catch(() => undefined);
      await until("the first request", () => bench.asked.length === 1);
      const answers = many(bench, 100);
      await allArrived(bench);
      door.open();
      for (const { status, cache } of await answers) assert.deepEqual([status, cache], [502, "MISS"]);
      assert.equal((await leader)?.status, begun ? undefined : 502);
      assert.equal(bench.asked.length, 1);
      // Of that moment alone: who comes now asks.
      assert.equal((await bench.ask("/thing")).status, 200);
    } finally {
      await bench.stop();
    }
  });
}

test("an answer that takes too long is waited for only so long", async () => {
  const door = gate();
  const bench = await startBench({
    cache: { coalesceWaitMs: 50 },
    service: (request, response, count) => {
      if (count === 1) void door.opened.then(() => response.end("late"));
      else answering({ "Cache-Control": "max-age=60" })(request, response, count);
    },
  });
  try {
    const slow = bench.ask("/thing");
    await until("the first request", () => bench.asked.length === 1);
    const second = await bench.ask("/thing");
    assert.equal(second.text, "answer 2");
    // And nobody joins the slow one any more.
    assert.equal((await bench.ask("/thing")).cache, "HIT");
    door.open();
    assert.equal((await slow).text, "late");
  } finally {
    await bench.stop();
  }
});

test("who waits for another variant gets his own, once for all who want that one, side by side", async () => {
  const doors = new Map(["de", "en", "fr"].map((language) => [language, gate()]));
  const bench = await startBench({
    service: (request, response) => {
      const language = request.headers["accept-language"] ?? "";
      void doors.get(language)?.opened.then(() => {
        response.writeHead(200, { "Cache-Control": "max-age=60", Vary: "Accept-Language" });
        response.end(language);
      });
    },
  });
  try {
    const german = many(bench, 8, { "accept-language": "de" });
    await until("the first request", () => bench.asked.length === 1);
    const others = ["en", "fr"].map((language) => many(bench, 8, { "accept-language": language }));
    await allArrived(bench);
    assert.equal(bench.asked.length, 1);
    doors.get("de")?.open();
    for (const { text } of await german) assert.equal(text, "de");
    await until("one request for each other variant", () => bench.asked.length === 3);
    for (const language of ["en", "fr"]) doors.get(language)?.open();
    const [english, french] = await Promise.all(others);
    for (const { text } of english ?? []) assert.equal(text, "en");
    for (const { text } of french ?? []) assert.equal(text, "fr");
    assert.equal(bench.asked.length, 3);
  } finally {
    await bench.stop();
  }
});

test("callers of different identity never wait for each other", async () => {
  const doors = new Map([
    ["ann", gate()],
    ["bob", gate()],
  ]);
  const bench = await startBench({
    service: (request, response) => {
      const user = String(request.headers["x-user"]);
      void doors.get(user)?.opened.then(() => {
        response.setHeader("Cache-Control", "max-age=60");
        response.end(user);
      });
    },
  });
  try {
    const ann = many(bench, 5, { "x-user": "ann" });
    const bob = many(bench, 5, { "x-user": "bob" });
    await until("one request each", () => bench.asked.length === 2);
    doors.get("bob")?.open();
    for (const { text } of await bob) assert.equal(text, "bob");
    doors.get("ann")?.open();
    for (const { text } of await ann) assert.equal(text, "ann");
    assert.equal(bench.asked.length, 2);
  } finally {
    await bench.stop();
  }
});
