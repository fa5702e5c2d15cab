// The memory tier: bounded in bytes whatever comes, quick to find what belongs to a URL, and hard to flush.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { sizeOf } from "../../../plugins/cache/store/body-copy.ts";
import type { Entry } from "../../../plugins/cache/store/entry.ts";
import { hashText } from "../../../plugins/cache/store/intrusive-hash-table.ts";
import { MemoryTier } from "../../../plugins/cache/store/memory.ts";
import { FrequencySketch } from "../../../plugins/cache/store/sketch.ts";
import type { StoredEntry } from "../../../plugins/cache/store/stored-entry.ts";
import { Fields } from "../../../src/plugin-api/contract.ts";
import { entryOf } from "./entries.ts";

function sized(url: string, bytes = 1_000, facts: Partial<Entry> = {}): StoredEntry {
  return entryOf({ url, fields: ["Content-Type", "text/plain"], body: Buffer.alloc(bytes), ...facts });
}

function has(memory: MemoryTier, url: string, partition = ""): boolean {
  return memory.find(url, partition) !== undefined;
}

/** One request as the plugin makes it. @returns whether it was a hit */
function request(memory: MemoryTier, url: string, bytes = 1_000): boolean {
  const node = memory.find(url, "");
  if (node !== undefined) {
    memory.touch(node);
    return true;
  }
  memory.put(sized(url, bytes));
  return false;
}

test("what was put is found, by URL and partition, until it is removed", () => {
  const memory = new MemoryTier(1_000_000);
  memory.put(sized("a"));
  memory.put(sized("a", 10, { partition: "ann" }));
  assert.ok(has(memory, "a") && has(memory, "a", "ann") && !has(memory, "a", "bob") && !has(memory, "b"));
  assert.equal(memory.ofUrl("a").length, 2);
  for (const node of memory.ofUrl("a")) memory.remove(node);
  assert.deepEqual([memory.bytes, memory.entries, has(memory, "a")], [0, 0, false]);
});

test("the same variant is replaced, another one is added, the newest that matches is chosen", () => {
  const memory = new MemoryTier(1_000_000);
  const vary = (value: string, body: number): StoredEntry =>
    sized("a", body, { vary: ["foo"], varyValues: [`+${value}`] });
  for (const [value, body] of [
    ["1", 10],
    ["2", 20],
    ["1", 30],
  ] as const)
    memory.put(vary(value, body));
  assert.equal(memory.ofUrl("a").length, 2);
  const bodyOf = (foo: string): number | undefined => {
    const entry = memory.select("a", "", hashText("a"), new Fields(["Foo", foo]));
    return entry && sizeOf(entry.body);
  };
  assert.deepEqual([bodyOf("1"), bodyOf("2"), bodyOf("3")], [30, 20, undefined]);
});

test("variants of one URL are bounded", () => {
  const memory = new MemoryTier(10_000_000);
  for (let i = 0; i < 1_000; i += 1) memory.put(sized("a", 10, { vary: ["foo"], varyValues: [`+${i}`] }));
  assert.equal(memory.ofUrl("a").length, 64);
  assert.equal(memory.entries, 64);
});

test("property: never more bytes than allowed, and the count is the sum of what is there", () => {
  const operations = fc.array(
    fc.record({
      url: fc.integer({ min: 0, max: 40 }),
      bytes: fc.integer({ min: 0, max: 6_000 }),
      remove: fc.boolean(),
    }),
    { maxLength: 200 },
  );
  fc.assert(
    fc.property(operations, fc.integer({ min: 2_000, max: 40_000 }), (series, maxBytes) => {
      const memory = new MemoryTier(maxBytes);
      for (const { url, bytes, remove } of series) {
        if (remove) for (const node of memory.ofUrl(`u${url}`)) memory.remove(node);
        else request(memory, `u${url}`, bytes);
        assert.ok(memory.bytes <= maxBytes, `${memory.bytes} of ${maxBytes}`);
        const all = [...memory.all()];
        assert.equal(
          memory.bytes,
          all.reduce((sum, { bytes }) => sum + bytes, 0),
        );
        assert.equal(memory.entries, all.length);
        for (const entry of all) assert.ok(memory.ofUrl(entry.url).includes(entry));
      }
    }),
  );
});

test("fields and keys count, not bodies alone", () => {
  const small = sized("u", 0).receivedBytes();
  const large = sized("u".repeat(1_000), 0, { fields: ["X", "y".repeat(5_000)] }).receivedBytes();
  assert.ok(large - small > 5_900);
});

test("a scan of URLs asked for once flushes nothing that is asked for often", () => {
  const memory = new MemoryTier(200_000);
  const popular = Array.from({ length: 80 }, (_, i) => `popular-${i}`);
  for (let round = 0; round < 5; round += 1) for (const url of popular) request(memory, url);
  for (let i = 0; i < 20_000; i += 1) request(memory, `scan-${i}`);
  const kept = popular.filter((url) => has(memory, url)).length;
  assert.ok(kept >= 76, `${kept} of 80`);
});

test("new favourites replace old ones", () => {
  const memory = new MemoryTier(200_000);
  for (let round = 0; round < 10; round += 1) for (let i = 0; i < 100; i += 1) request(memory, `old-${i}`);
  let hits = 0;
  for (let round = 0; round < 60; round += 1) {
    for (let i = 0; i < 100; i += 1) if (request(memory, `new-${i}`) && round >= 50) hits += 1;
  }
  assert.ok(hits >= 900, `${hits} of 1000`);
});

test("on a Zipf load it hits as often as LRU or better", () => {
  const maxBytes = 400_000;
  const perEntry = sized("zipf-1000", 1_000).receivedBytes();
  const memory = new MemoryTier(maxBytes);
  const lru = new Map<string, true>();
  const capacity = Math.floor(maxBytes / perEntry);
  let [ours, theirs] = [0, 0];
  const draw = zipf(5_000, 1);
  for (let i = 0; i < 60_000; i += 1) {
    const url = `zipf-${draw()}`;
    if (request(memory, url)) ours += 1;
    if (lru.delete(url)) theirs += 1;
    lru.set(url, true);
    if (lru.size > capacity) lru.delete(lru.keys().next().value as string);
  }
  assert.ok(ours >= theirs, `${ours} against ${theirs}`);
});

/** Draws 1 to n with weights 1 / rank^s, the same series every time. */
function zipf(n: number, s: number): () => number {
  const sums: number[] = [];
  let sum = 0;
  for (let rank = 1; rank <= n; rank += 1) sums.push((sum += 1 / rank ** s));
  let state = 42;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const point = (state / 2 ** 32) * sum;
    let [low, high] = [0, n - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((sums[middle] as number) < point) low = middle + 1;
      else high = middle;
    }
    return low + 1;
  };
}

test("the sketch never underestimates within its range, and forgets", () => {
  const sketch = new FrequencySketch(1_024);
  for (let i = 0; i < 9; i += 1) sketch.add(77);
  assert.ok(sketch.estimate(77) >= 9);
  for (let i = 0; i < 30_000; i += 1) sketch.add(Math.imul(i, 2_654_435_761) >>> 0);
  assert.ok(sketch.estimate(77) <= 15);
  const idle = new FrequencySketch(1_024);
  for (let i = 0; i < 15; i += 1) idle.add(5);
  for (let i = 0; i < 10_300; i += 1) idle.add(6);
  assert.ok(idle.estimate(5) < 15);
});

test("a smaller limit takes effect at once", () => {
  const memory = new MemoryTier(100_000);
  for (let i = 0; i < 60; i += 1) request(memory, `u${i}`);
  memory.resize(20_000);
  assert.ok(memory.bytes <= 20_000);
});
