// However a request ends, the cache keeps no trace of it: no fill, flight, copy or refresh.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { CacheState } from "../../../plugins/cache/state.ts";
import { startRedis } from "../../support/redis.ts";
import {
  allArrived,
  answering,
  gate,
  startBench,
  until,
  withState,
  type BenchOptions,
  type CacheBench,
} from "./harness.ts";

/** A bench whose cache state the test sees. */
async function open(options: BenchOptions): Promise<{ bench: CacheBench; state: CacheState }> {
  const { plugin, state } = withState();
  const bench = await startBench({ ...options, plugin });
  return { bench, state: state() };
}

async function isEmpty(state: CacheState): Promise<void> {
  await until(
    "nothing under way",
    () => state.purges.fills + state.flights.size + state.refreshing.size === 0,
  );
  assert.equal(state.copies.bytes, 0);
}

test("after every kind of answer", async () => {
  const { bench, state } = await open({
    cache: { staleIfErrorSeconds: 60, staleWhileRevalidateSeconds: 5 },
    service: (request, response, count) => {
      const url = request.url ?? "";
      if (url.startsWith("/broken") && count % 2 === 0) {
        response.writeHead(200, { "Cache-Control": "max-age=60", "Content-Length": "100" });
        response.write("part");
        setImmediate(() => response.destroy());
      } else if (url.startsWith("/closes")) response.socket?.destroy();
      else if (request.headers["if-none-match"] !== undefined && count % 3 > 0) response.writeHead(304).end();
      else if (url.startsWith("/fails") && count % 2 === 0) response.writeHead(503).end();
      else {
        const control = url.startsWith("/private") ? "private" : "max-age=2";
        response.writeHead(200, { "Cache-Control": control, ETag: '"1"' }).end(`answer ${count}`);
      }
    },
  });
  try {
    for (let round = 0; round < 4; round += 1) {
      for (const url of ["/plain", "/private", "/broken", "/closes", "/fails"]) {
        for (const method of ["GET", "HEAD", "POST"]) await bench.ask(url, { method }).catch(() => {});
        for (const headers of [
          { range: "bytes=0-1" },
          { "if-none-match": '"x"' },
          { "cache-control": "only-if-cached" },
          { "cache-control": "no-cache" },
          { "x-user": "ann" },
        ]) {
          await bench.ask(url, { headers }).catch(() => {});
        }
      }
      bench.clock.advanceSeconds(4);
    }
    await isEmpty(state);
  } finally {
    await bench.stop();
  }
});

for (const withRedis of [false, true]) {
  test(`after clients that leave while they wait${withRedis ? ", with Redis" : ""}`, async () => {
    const redis = withRedis ? await startRedis() : undefined;
    const door = gate();
    const { bench, state } = await open({
      ...(redis === undefined ? {} : { redisUrl: redis.url, cache: { coalesce: "fleet" } }),
      service: (request, response, count) => {
        void door.opened.then(() => answering({ "Cache-Control": "max-age=60" })(request, response, count));
      },
    });
    try {
      const leaving = new AbortController();
      const left = Array.from({ length: 20 }, () =>
        bench.ask("/x", { signal: leaving.signal }).catch(() => {}),
      );
      await until("the first request", () => bench.asked.length === 1);
      await allArrived(bench);
      assert.equal(state.purges.fills, 1);
      leaving.abort();
      await Promise.all(left);
      await isEmpty(state);
      door.open();
      assert.equal((await bench.ask("/x")).status, 200);
      await isEmpty(state);
    } finally {
      await bench.stop();
      await redis?.close();
    }
  });
}
