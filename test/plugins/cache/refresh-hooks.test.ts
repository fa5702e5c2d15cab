// A background refresh stores what a client would get: plugins behind the cache process its response as any other.
import assert from "node:assert/strict";
import { Transform } from "node:stream";
import { test } from "node:test";
import type { Hooks } from "../../../src/plugin-api/contract.ts";
import { registry } from "../../../src/app/registry.ts";
import { TestClock } from "../../../src/testing/clock.ts";
import { startSidecar, type TestSidecar } from "../../../src/testing/sidecar.ts";
import { pluginWith } from "../../support/plugins.ts";
import { eventually } from "../../support/redis.ts";

/** A sidecar whose service counts its answers, with a stale one stored and the next request about to refresh it. */
async function stale(clock: TestClock, later: Hooks): Promise<TestSidecar> {
  let count = 0;
  const sidecar = await startSidecar({
    registry: [...registry, pluginWith("later", later)],
    clock,
    policy: {
      plugins: ["logging", "cache", "transform", "later"],
      pluginConfig: {
        cache: { ttlSeconds: 10, staleWhileRevalidateSeconds: 600 },
        transform: { removeResponseHeaders: ["x-secret"], addResponseHeaders: { "x-added": "1" } },
      },
    },
    upstream(_request, response) {
      response.setHeader("x-secret", "s");
      response.end(`body ${(count += 1)}`);
    },
  });
  assert.equal((await got(sidecar)).cache, "MISS");
  clock.advance(11_000);
  assert.equal((await got(sidecar)).cache, "STALE");
  return sidecar;
}

async function got({ url }: TestSidecar) {
  const response = await fetch(url);
  const field = (name: string): string | null => response.headers.get(name);
  return {
    cache: field("x-cache"),
    secret: field("x-secret"),
    added: field("x-added"),
    body: await response.text(),
  };
}

const refreshed = (sidecar: TestSidecar): Promise<void> =>
  eventually("it is fresh again", async () => (await got(sidecar)).cache === "HIT");

test("fields are removed and added, and a body is changed", async () => {
  const loud = (): Transform =>
    new Transform({
      transform: (chunk: Buffer, _coding, done) => done(null, chunk.toString().toUpperCase()),
    });
  await using sidecar = await stale(new TestClock(), {
    onResponse(_exchange, response) {
      response.fields.delete("content-length");
      response.through(loud());
    },
  });
  await refreshed(sidecar);
  assert.deepEqual(await got(sidecar), { cache: "HIT", secret: null, added: "1", body: "BODY 2" });
});

test("a body that a plugin puts in its place is the one that is stored", async () => {
  await using sidecar = await stale(new TestClock(), {
    onResponse: (_exchange, response) => response.replaceBody("instead"),
  });
  await refreshed(sidecar);
  assert.equal((await got(sidecar)).body, "instead");
});

test("nothing is stored where a plugin that must not fail has failed", async () => {
  let calls = 0;
  await using sidecar = await stale(new TestClock(), {
    onResponse() {
      if ((calls += 1) > 1) throw new Error("not this one");
    },
  });
  await eventually("the refresh came to the plugin", () => calls === 2);
  assert.deepEqual(await got(sidecar), { cache: "STALE", secret: null, added: "1", body: "body 1" });
});
