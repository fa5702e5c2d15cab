// Stale answers: served instead of an error, refreshed in the background, and never used where the upstream forbids it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { answering, gate, startBench, until, withState, type BenchOptions } from "./harness.ts";

/** Answers well at first, then as the test says. */
const thenFailing =
  (fields: Record<string, string>, fail: BenchOptions["service"]): BenchOptions["service"] =>
  (request, response, count) => {
    if (count === 1) answering(fields)(request, response, count);
    else fail(request, response, count);
  };

const failures: Record<string, BenchOptions["service"]> = {
  "answers 503": (_request, response) => void response.writeHead(503).end(),
  "answers 500": (_request, response) => void response.writeHead(500).end(),
  "closes the connection": (_request, response) => response.socket?.destroy(),
  "answers nothing in time": () => {},
};

for (const [what, fail] of Object.entries(failures)) {
  test(`RFC 5861 4: a stale answer is served when the upstream ${what}`, async () => {
    const bench = await startBench({
      policy: {
        plugins: ["cache"],
        pluginConfig: { cache: { staleIfErrorSeconds: 60 } },
        routes: [{ path: "/*", timeout: 1_000 }],
      },
      service: thenFailing({ "Cache-Control": "max-age=10" }, fail),
    });
    try {
      await bench.ask("/x");
      bench.clock.advanceSeconds(20);
      const stale = await bench.ask("/x");
      assert.deepEqual([stale.status, stale.text, stale.cache], [200, "answer 1", "STALE"]);
      assert.equal(Number(stale.headers.age) >= 20, true);
      bench.clock.advanceSeconds(60);
      assert.ok((await bench.ask("/x")).status >= 500, "the window is over");
    } finally {
      await bench.stop();
    }
  });
}

test("an upstream that just failed is not asked again for a moment", async () => {
  const bench = await startBench({
    cache: { staleIfErrorSeconds: 60 },
    service: thenFailing(
      { "Cache-Control": "max-age=10" },
      failures["answers 503"] as BenchOptions["service"],
    ),
  });
  try {
    await bench.ask("/x");
    bench.clock.advanceSeconds(20);
    for (let i = 0; i < 5; i += 1) assert.equal((await bench.ask("/x")).cache, "STALE");
    assert.equal(bench.asked.length, 2);
    bench.clock.advanceSeconds(2);
    await bench.ask("/x");
    assert.equal(bench.asked.length, 3);
  } finally {
    await bench.stop();
  }
});

for (const forbids of ["must-revalidate", "proxy-revalidate", "s-maxage=10", "no-cache"]) {
  test(`RFC 9111 4.2.4: nothing stale is served against ${forbids}`, async () => {
    const bench = await startBench({
      cache: { staleIfErrorSeconds: 60, staleWhileRevalidateSeconds: 60 },
      service: thenFailing(
        {
          "Cache-Control": `max-age=10, ${forbids}, stale-if-error=60, stale-while-revalidate=60`,
          ETag: '"1"',
        },
        failures["answers 503"] as BenchOptions["service"],
      ),
    });
    try {
      await bench.ask("/x");
      bench.clock.advanceSeconds(20);
      assert.equal((await bench.ask("/x")).status, 503);
      const asked = { headers: { "cache-control": "max-stale=1000" } };
      assert.equal((await bench.ask("/x", asked)).status, 503, "not for max-stale either");
    } finally {
      await bench.stop();
    }
  });
}

test("RFC 5861 3: stale-while-revalidate serves at once and refreshes once, in the background", async () => {
  const door = gate();
  const bench = await startBench({
    service: (_request, response, count) => {
      const answer = (): void => {
        response.setHeader("Cache-Control", "max-age=10, stale-while-revalidate=60");
        response.end(`answer ${count}`);
      };
      if (count === 1) answer();
      else void door.opened.then(answer);
    },
  });
  try {
    await bench.ask("/x");
    bench.clock.advanceSeconds(20);
    for (let i = 0; i < 5; i += 1) {
      const stale = await bench.ask("/x");
      assert.deepEqual([stale.text, stale.cache], ["answer 1", "STALE"]);
    }
    await until("one refresh", () => bench.asked.length === 2);
    door.open();
    await until("the new answer", async () => (await bench.ask("/x")).text === "answer 2");
    assert.equal((await bench.ask("/x")).cache, "HIT");
    assert.equal(bench.asked.length, 2);
  } finally {
    await bench.stop();
  }
});

test("a background refresh validates, and a 304 makes the stored answer fresh", async () => {
  const bench = await startBench({
    service: (request, response) => {
      response.setHeader("Cache-Control", "max-age=10, stale-while-revalidate=60");
      response.setHeader("ETag", '"v1"');
      if (request.headers["if-none-match"] === '"v1"') response.writeHead(304).end();
      else response.end("v1");
    },
  });
  try {
    await bench.ask("/x");
    bench.clock.advanceSeconds(20);
    assert.equal((await bench.ask("/x")).cache, "STALE");
    await until("a fresh hit", async () => (await bench.ask("/x")).cache === "HIT");
    assert.equal(bench.asked[1]?.headers["if-none-match"], '"v1"');
    assert.equal((await bench.ask("/x")).text, "v1");
  } finally {
    await bench.stop();
  }
});

test("a background refresh reaches the service as a client's request would", async () => {
  const bench = await startBench({
    policy: {
      plugins: ["cache", "transform"],
      pluginConfig: { transform: { addHeaders: { "X-Gateway-Key": "k" }, removeHeaders: ["X-Drop"] } },
    },
    service: answering({ "Cache-Control": "max-age=10, stale-while-revalidate=60" }),
  });
  try {
    const headers = { "x-drop": "1", "x-kept": "2", cookie: "a=b" };
    await bench.ask("/x", { headers });
    bench.clock.advanceSeconds(20);
    await bench.ask("/x", { headers });
    await until("the refresh", () => bench.asked.length === 2);
    for (const { headers: got } of bench.asked) {
      assert.equal(got["x-gateway-key"], "k");
      assert.equal(got["x-drop"], undefined);
      assert.equal(got["x-kept"], "2");
      assert.equal(got["x-forwarded-proto"], "http");
    }
  } finally {
    await bench.stop();
  }
});

for (const [who, headers] of [
  ["another known caller", { "x-user": "bob" }],
  ["somebody unknown", {}],
] as const) {
  test(`a refresh for ${who} that brings the first caller's own answer is nobody's`, async () => {
    const bench = await startBench({
      plugins: ["cache", "identify", "transform"],
      service: (request, response, count) => {
        const control = count === 1 ? "public, max-age=10, stale-while-revalidate=60" : "max-age=60";
        response.setHeader("Cache-Control", control);
        response.end(`for ${String(request.headers["x-user-id"])}`);
      },
    });
    try {
      await bench.ask("/x", { headers: { "x-user": "alice" } });
      bench.clock.advanceSeconds(20);
      assert.equal((await bench.ask("/x", { headers })).cache, "STALE");
      await until("the refresh is over", async () => (await bench.ask("/x", { headers })).cache !== "STALE");
      const asked = await bench.ask("/x", { headers });
      assert.deepEqual([asked.text, asked.cache], [`for ${headers["x-user"] ?? "undefined"}`, "HIT"]);
    } finally {
      await bench.stop();
    }
  });
}

test("a failed refresh leaves the stale answer in place until its window ends", async () => {
  const bench = await startBench({
    service: thenFailing(
      { "Cache-Control": "max-age=10, stale-while-revalidate=30" },
      failures["answers 503"] as BenchOptions["service"],
    ),
  });
  try {
    await bench.ask("/x");
    bench.clock.advanceSeconds(20);
    assert.equal((await bench.ask("/x")).cache, "STALE");
    await until("the refresh", () => bench.asked.length === 2);
    assert.equal((await bench.ask("/x")).cache, "STALE");
    bench.clock.advanceSeconds(30);
    assert.equal((await bench.ask("/x")).status, 503);
  } finally {
    await bench.stop();
  }
});

test("a clock that is set back makes nothing fresh for longer", async () => {
  const bench = await startBench({
    policy: { plugins: ["cache"], pluginConfig: { cache: {} } },
    service: answering({ "Cache-Control": "max-age=10" }),
  });
  try {
    await bench.ask("/x");
    assert.equal((await bench.ask("/x")).cache, "HIT");
    bench.clock.advanceSeconds(-3_600);
    const asked = await bench.ask("/x");
    assert.deepEqual([asked.text, asked.cache], ["answer 2", "MISS"]);
    assert.equal((await bench.ask("/x")).cache, "HIT");
  } finally {
    await bench.stop();
  }
});

for (const [what, soft] of [
  ["a hard purge", false],
  ["a soft one", true],
] as const) {
  test(`after ${what} of it while the upstream is asked, a stale answer ${soft ? "may" : "does not"} stand in`, async () => {
    for (const purge of [
      { kind: "url", value: "/x" },
      { kind: "tag", value: "a" },
    ] as const) {
      const seen = withState();
      const bench = await startBench({
        plugin: seen.plugin,
        cache: { staleIfErrorSeconds: 60 },
        service: thenFailing({ "Cache-Control": "max-age=10", "Cache-Tag": "a" }, (_request, response) => {
          seen.state().purge({ kind: "tag", value: "of others", soft: false, region: "" });
          seen.state().purge({ ...purge, soft, region: "" });
          response.writeHead(503).end("down");
        }),
      });
      try {
        await bench.ask("/x");
        bench.clock.advanceSeconds(20);
        const { status, cache } = await bench.ask("/x");
        assert.deepEqual([status, cache], soft ? [200, "STALE"] : [503, "MISS"], purge.kind);
      } finally {
        await bench.stop();
      }
    }
  });
}
