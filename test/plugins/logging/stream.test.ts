// Access-log lines in the Redis stream: with a real Redis that works, is frozen, or is gone.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createLineStream, type LineStream } from "../../../plugins/logging/stream.ts";
import { parseRedisAddress } from "../../../src/redis/address.ts";
import { createStore, type RedisStore } from "../../../src/redis/store.ts";
import { createLogging } from "../../../src/telemetry/logger.ts";
import { createOutput } from "../../../src/telemetry/output.ts";
import { createMetrics } from "../../../src/telemetry/metrics.ts";
import { eventually, startRedis, type RedisServer } from "../../support/redis.ts";

let redis: RedisServer;
let store: RedisStore;

before(async () => {
  redis = await startRedis();
  store = createStore({
    limitMs: 2_000,
    address: parseRedisAddress(redis.url),
    keyPrefix: "outrigger:",
    connectionName: "test",
  });
  assert.ok(await store.whenUp(5_000));
});

after(async () => {
  store.close();
  await redis.close();
});

const metrics = createMetrics({ service: "test" });
const output = createOutput({ stream: process.stderr });
const { logger } = createLogging({ level: "warn", service: "test", instance: "test", output });

/** The stream of a service's sidecar. */
function streamOf(service: string): LineStream {
  return createLineStream({ metrics, store, logger, fleet: { service, instance: "test", size: () => 1 } });
}

function appenderOf(stream: LineStream): (line: string) => void {
  const append = stream.open(100);
  assert.ok(append);
  return append;
}

async function dropped(reason: string): Promise<number> {
  const series = new RegExp(`^outrigger_log_stream_dropped_total\\{.*reason="${reason}".*\\} (\\d+)$`, "m");
  return Number(series.exec(await metrics.render())?.[1]);
}

test("lines arrive in order, and older ones go", async () => {
  const stream = streamOf("users");
  const append = appenderOf(stream);
  const before = [await dropped("busy"), await dropped("unavailable")];
  for (let batch = 0; batch < 10; batch += 1) {
    for (let i = 0; i < 100; i += 1) append(`{"n":${batch * 100 + i}}`);
    await stream.settled();
  }
  const entries = await redis.cli.xrange("outrigger:logs:users", "-", "+");
  // MAXLEN ~ trims whole nodes of up to 100 entries.
  assert.ok(entries.length >= 100 && entries.length <= 200, `${entries.length} entries`);
  assert.deepEqual(
    entries.map(([, fields]) => fields),
    entries.map((_, i) => ["line", `{"n":${1000 - entries.length + i}}`]),
  );
  assert.deepEqual([await dropped("busy"), await dropped("unavailable")], before);
});

test("another type under the key loses the line and nothing else", async () => {
  await redis.cli.set("outrigger:logs:wrong", "text");
  const stream = streamOf("wrong");
  const failedBefore = await dropped("unavailable");
  appenderOf(stream)("{}");
  await stream.settled();
  assert.equal(await dropped("unavailable"), failedBefore + 1);
  assert.ok(store.up);
});

test("a Redis that hangs holds no more than the bound; what fails is counted, and waiting for it ends", async () => {
  const stream = streamOf("hanging");
  const append = appenderOf(stream);
  const failedBefore = await dropped("unavailable");
  const busyBefore = await dropped("busy");
  redis.freeze();
  try {
    for (let i = 0; i < 300; i += 1) append("{}");
    assert.equal(await dropped("busy"), busyBefore + 300 - 256);
    await stream.settled();
    assert.equal(await dropped("unavailable"), failedBefore + 256);
    append("{}");
    await stream.settled();
    assert.equal(await dropped("unavailable"), failedBefore + 257);
  } finally {
    redis.thaw();
    const answers = async (): Promise<boolean> => (await store.get("x").catch(() => "")) === null;
    await eventually("Redis answers again", answers);
  }
});
