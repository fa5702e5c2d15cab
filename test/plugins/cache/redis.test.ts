// The second tier on a real Redis: sidecars share it, and it is useless to anyone who attacks or kills it.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { startCluster, startRedis, type RedisServer } from "../../support/redis.ts";
import {
  answering,
  gate,
  startFleet,
  until,
  withState,
  type BenchOptions,
  type CacheBench,
} from "./harness.ts";

let redis: RedisServer;
before(async () => {
  redis = await startRedis();
});
after(() => redis.close());

/** Redis has its time on a machine that is busy with other tests. */
const patient = { redisWaitMs: 1_000 };
const minute = { "Cache-Control": "max-age=60" };

async function entryKeys(): Promise<string[]> {
  return redis.cli.keys("outrigger:cache:*e:*");
}

/** Benches on one Redis, emptied first. */
async function benches(count: number, options: BenchOptions): Promise<CacheBench[]> {
  await redis.cli.flushall();
  return startFleet(count, { redisUrl: redis.url, ...options, cache: { ...patient, ...options.cache } });
}

async function stopAll(all: readonly CacheBench[]): Promise<void> {
  await Promise.all(all.map((bench) => bench.stop()));
}

test("what one sidecar stored, another one serves", async () => {
  const all = await benches(2, {
    service: answering({ ...minute, "Content-Type": "image/png", ETag: '"1"' }),
  });
  const [one, other] = all as [CacheBench, CacheBench];
  try {
    await one.ask("/x");
    await until("the entry in Redis", async () => (await entryKeys()).length === 1);
    const hit = await other.ask("/x");
    assert.deepEqual([hit.text, hit.cache, hit.headers["content-type"]], ["answer 1", "HIT", "image/png"]);
    assert.equal(other.asked.length, 1);
    assert.equal((await other.ask("/x", { headers: { "if-none-match": '"1"' } })).status, 304);
    const [key] = await entryKeys();
    const ttl = await redis.cli.pttl(key as string);
    assert.ok(ttl > 0 && ttl <= 60_000 + 3_600_000);
  } finally {
    await stopAll(all);
  }
});

test("bodies are bytes, and compressed when it pays", async () => {
  const noise = randomBytes(5_000);
  const text = Buffer.alloc(50_000, "lorem ipsum ");
  const all = await benches(2, {
    service: (request, response) => {
      response.writeHead(200, minute);
      response.end(request.url === "/noise" ? noise : text);
    },
  });
  const [one, other] = all as [CacheBench, CacheBench];
  try {
    await one.ask("/noise");
    await one.ask("/text");
    await until("both entries in Redis", async () => (await entryKeys()).length === 2);
    assert.deepEqual((await other.ask("/noise")).body, noise);
    assert.deepEqual((await other.ask("/text")).body, text);
    assert.equal(other.asked.length, 2);
    const sizes = await Promise.all((await entryKeys()).map((key) => redis.cli.strlen(key)));
    assert.ok(
      sizes.every((size) => size < 6_000),
      String(sizes),
    );
  } finally {
    await stopAll(all);
  }
});

test("variants and callers stay apart in Redis too", async () => {
  const all = await benches(2, {
    service: (request, response) => {
      response.writeHead(200, { ...minute, Vary: "Accept-Language" });
      response.end(`${request.headers["accept-language"]} ${String(request.headers["x-user"])}`);
    },
  });
  const [one, other] = all as [CacheBench, CacheBench];
  try {
    for (const user of ["ann", "bob"]) {
      for (const language of ["de", "en"]) {
        const headers = { "x-user": user, "accept-language": language };
        await one.ask("/x", { headers });
      }
    }
    await until("all in Redis", async () => (await entryKeys()).length === 6);
    for (const user of ["ann", "bob"]) {
      for (const language of ["en", "de"]) {
        const hit = await other.ask("/x", { headers: { "x-user": user, "accept-language": language } });
        assert.deepEqual([hit.text, hit.cache], [`${language} ${user}`, "HIT"]);
      }
    }
    assert.equal((await other.ask("/x", { headers: { "accept-language": "de" } })).cache, "MISS");
  } finally {
    await stopAll(all);
  }
});

test("entries too large for Redis stay in memory", async () => {
  const all = await benches(1, {
    cache: { redisMaxBytes: 2_000 },
    service: (_request, response) => {
      response.writeHead(200, minute);
      response.end(randomBytes(5_000));
    },
  });
  const [bench] = all as [CacheBench];
  try {
    await bench.ask("/large");
    assert.equal((await bench.ask("/large")).cache, "HIT");
    assert.deepEqual(await entryKeys(), []);
  } finally {
    await stopAll(all);
  }
});

const damages: Record<string, (bytes: Buffer) => Buffer> = {
  truncated: (bytes) => bytes.subarray(0, bytes.length - 3),
  "of another version": (bytes) => Buffer.concat([Buffer.from("OCE9"), bytes.subarray(4)]),
  "changed in one bit": (bytes) => {
    const copy = Buffer.from(bytes);
    copy[copy.length - 1] = (copy[copy.length - 1] as number) ^ 1;
    return copy;
  },
  empty: () => Buffer.alloc(0),
  "something else": () => Buffer.from('{"status":200,"body":"evil"}'),
};

for (const [what, damage] of Object.entries(damages)) {
  test(`an entry in Redis that is ${what} is a miss and is counted`, async () => {
    const all = await benches(2, { service: answering(minute) });
    const [one, other] = all as [CacheBench, CacheBench];
    try {
      await one.ask("/x");
      await until("the entry in Redis", async () => (await entryKeys()).length === 1);
      const [key] = (await entryKeys()) as [string];
      await redis.cli.set(key, damage((await redis.cli.getBuffer(key)) as Buffer));
      const answer = await other.ask("/x");
      assert.deepEqual([answer.status, answer.cache], [200, "MISS"]);
      assert.ok(/^outrigger_cache_bad_records_total\{.*\} 1$/m.test(await other.sidecar.metrics()));
    } finally {
      await stopAll(all);
    }
  });
}

test("an entry moved under another key is nobody's answer", async () => {
  const all = await benches(2, { service: answering(minute) });
  const [one, other] = all as [CacheBench, CacheBench];
  try {
    await one.ask("/a");
    await until("the first entry", async () => (await entryKeys()).length === 1);
    const [a] = (await entryKeys()) as [string];
    await one.ask("/b");
    await until("the second entry", async () => (await entryKeys()).length === 2);
    const b = (await entryKeys()).find((key) => key !== a) as string;
    await redis.cli.copy(a, b, "REPLACE");
    assert.equal((await other.ask("/b")).cache, "MISS");
  } finally {
    await stopAll(all);
  }
});

test("a Redis that answers nothing costs a few milliseconds, then nothing", async () => {
  const all = await benches(1, { cache: { redisWaitMs: 5 }, service: answering(minute) });
  const [bench] = all as [CacheBench];
  try {
    await bench.ask("/warm");
    redis.freeze();
    const tookMs: number[] = [];
    for (let i = 0; i < 20; i += 1) {
      const started = performance.now();
      assert.equal((await bench.ask(`/cold/${i}`)).status, 200);
      tookMs.push(performance.now() - started);
    }
    // Any of them can be held up by the machine; half of them are not.
    assert.ok((tookMs.toSorted((a, b) => a - b)[10] as number) < 50, tookMs.join());
    assert.equal((await bench.ask("/warm")).cache, "HIT");
    assert.equal((await bench.ask("/cold/3")).cache, "HIT");
  } finally {
    redis.thaw();
    await stopAll(all);
  }
});

for (const phase of ["before the request", "while the upstream is asked", "while the body streams"]) {
  test(`Redis killed ${phase}: the client gets its answer and memory keeps it`, async () => {
    const [head, rest] = [gate(), gate()];
    const all = await benches(1, {
      service: (_request, response) => {
        void head.opened.then(async () => {
          response.writeHead(200, minute);
          response.write("first ");
          await rest.opened;
          response.end("last");
        });
      },
    });
    const [bench] = all as [CacheBench];
    try {
      if (phase.startsWith("before")) await redis.kill();
      const answer = bench.ask("/x");
      await until("the request", () => bench.asked.length === 1);
      if (phase.includes("upstream")) await redis.kill();
      head.open();
      if (phase.includes("body")) await redis.kill();
      rest.open();
      assert.equal((await answer).text, "first last");
      assert.equal((await bench.ask("/x")).cache, "HIT");
    } finally {
      await stopAll(all);
      await redis.restart();
    }
  });
}

test("a fleet that asks for it makes one upstream request for all its sidecars", async () => {
  const door = gate();
  const all = await benches(3, {
    cache: { coalesce: "fleet" },
    service: (_request, response) => {
      void door.opened.then(() => {
        response.writeHead(200, minute);
        response.end("once");
      });
    },
  });
  const asked = (): number => all[0]?.asked.length ?? 0;
  try {
    const answers = all.flatMap((bench) => Array.from({ length: 10 }, () => bench.ask("/x")));
    await until("the first request", () => asked() === 1);
    await until("a lease", async () => (await redis.cli.keys("*:lease")).length === 1);
    door.open();
    for (const { text } of await Promise.all(answers)) assert.equal(text, "once");
    assert.equal(asked(), 1);
    await until("the lease given back", async () => (await redis.cli.keys("*:lease")).length === 0);
  } finally {
    await stopAll(all);
  }
});

test("in Redis Cluster an entry with its variants is one slot, and served to another sidecar", async () => {
  const cluster = await startCluster();
  const options: BenchOptions = {
    redisUrl: cluster.url,
    cache: patient,
    service: answering({ ...minute, Vary: "Accept-Language" }),
  };
  const [one, other] = (await startFleet(2, options)) as [CacheBench, CacheBench];
  try {
    for (let i = 0; i < 8; i += 1) await one.ask(`/${i}`, { headers: { "accept-language": "de" } });
    const keys = async (): Promise<string[]> =>
      (await Promise.all(cluster.nodes.map((node) => node.cli.keys("outrigger:cache:*e:*")))).flat();
    await until("all entries", async () => (await keys()).length === 16);
    for (let i = 0; i < 8; i += 1) {
      assert.equal((await other.ask(`/${i}`, { headers: { "accept-language": "de" } })).cache, "HIT");
    }
  } finally {
    await Promise.all([one.stop(), other.stop()]);
    await cluster.close();
  }
});

test("a purge that comes while Redis is read concerns what comes out of it", async () => {
  const seen = withState();
  const [bench] = (await benches(1, { service: answering(minute), plugin: seen.plugin })) as [CacheBench];
  const { memory, purges, redis: tier } = seen.state();
  const asAnn = { headers: { "x-user": "ann" } };
  try {
    assert.ok(tier);
    await bench.ask("/x", asAnn);
    await until("the entry in Redis", async () => (await entryKeys()).length === 1);
    for (const entry of memory.all()) memory.remove(entry);
    const find = tier.find.bind(tier);
    tier.find = async (...wanted) => {
      const entry = await find(...wanted);
      // Ann's own has been read, and perhaps not yet what is for everybody.
      if (entry !== undefined)
        purges.apply({ kind: "url", value: entry.url, soft: false, region: "" }, Date.now());
      return entry;
    };
    assert.equal((await bench.ask("/x", asAnn)).text, "answer 2");
  } finally {
    await bench.stop();
  }
});
