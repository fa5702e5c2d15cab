import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { createRedisSource, packageKey, signatureKey } from "../../../src/extensions/redis-source.ts";
import { storesOf } from "../../support/redis-store.ts";
import { testSource } from "./source-suite.ts";

const { server, open } = storesOf("packages");

testSource("redis:", async () => {
  const redis = await server();
  const store = open(redis.url);
  await store.whenUp(5_000);
  return {
    source: createRedisSource(store),
    async put(version, bytes, signature) {
      await store.set(packageKey("geo", version), bytes, { limitMs: 5_000 });
      if (signature !== undefined) await store.set(signatureKey("geo", version), signature);
    },
    all: "redis:",
    location: (version) => `redis:plugin:geo${version === undefined ? "" : `@${version}`}`,
    lose: async () => await redis.kill(),
  };
});

test("a large package is read in parts, between which others are answered", async () => {
  const redis = await server();
  const store = open(redis.url);
  await store.whenUp(5_000);
  const source = createRedisSource(store);
  const calls = async (): Promise<number> =>
    Number(/cmdstat_getrange:calls=(\d+)/.exec(await redis.cli.info("commandstats"))?.[1]);
  for (const [length, parts] of [
    [600_000, 3],
    [2 * 262_144, 3],
    [262_143, 1],
  ] as const) {
    const bytes = randomBytes(length);
    await store.set(packageKey("geo", "1.2.0"), bytes, { limitMs: 5_000 });
    await redis.cli.config("RESETSTAT");
    const wanted = { name: "geo", location: "redis:plugin:geo", version: "1.2.0" };
    assert.deepEqual(await source.fetch(wanted, AbortSignal.timeout(5_000)), bytes);
    assert.equal(await calls(), parts);
    await assert.rejects(source.fetch(wanted, AbortSignal.abort()), { name: "PackageUnavailable" });
  }
});

test("a location of another form, or without Redis, is refused for good", async () => {
  const nowhere = createRedisSource(undefined);
  const signal = AbortSignal.timeout(1_000);
  for (const [location, message] of [
    ["redis:geo", /is not redis:plugin:<name>/],
    ["redis:plugin:geo@1.2.0 x", /is not redis:plugin:<name>/],
    ["redis:plugin:geo", /says no version/],
    ["redis:plugin:geo@1.2.0", /REDIS_URL is not set/],
  ] as const)
    await assert.rejects(nowhere.fetch({ name: "geo", location, version: undefined }, signal), {
      name: "PackageError",
      message,
    });
});
