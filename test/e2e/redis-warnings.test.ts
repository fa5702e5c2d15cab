// Text that ioredis prints becomes a log line, and afterwards the console works as before.
import assert from "node:assert/strict";
import { test } from "node:test";
import { startRedis } from "../support/redis.ts";
import { startSidecar } from "../support/sidecar.ts";

test("a password that Redis does not ask for is told in the log", async (t) => {
  const redis = await startRedis();
  t.after(() => redis.close());
  await redis.cli.set("outrigger:policy", '{"apiVersion":"outrigger/v1"}');
  const { warn, error } = console;
  const sidecar = await startSidecar({
    redisUrl: redis.url.replace("//", "//:needless@"),
    upstream: (_request, response) => void response.end(),
  });
  const line = await sidecar.line(({ msg }) => msg === "ioredis printed to the console");
  assert.match(String(line["printed"]), /does not require a password/u);
  assert.doesNotMatch(JSON.stringify(line), /needless/u);
  await sidecar.stop();
  assert.equal(console.warn, warn);
  assert.equal(console.error, error);
});
