import assert from "node:assert/strict";
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
