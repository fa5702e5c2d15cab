// The memory tier: always within its limit in bytes, quick to find the entries of a URL, and hard to flush.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { concerns, type Purge } from "../../../plugins/cache/purge/purge.ts";
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
  assert.equal([...memory.ofUrl("a")].length, 2);
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
  assert.equal([...memory.ofUrl("a")].length, 2);
  const bodyOf = (foo: string): number | undefined => {
    const entry = memory.select("a", "", hashText("a"), new Fields(["Foo", foo]));
    return entry && sizeOf(entry.body);
  };
  assert.deepEqual([bodyOf("1"), bodyOf("2"), bodyOf("3")], [30, 20, undefined]);
});

test("answers by every policy are purged with their URL, and each is found under its own", () => {
  const memory = new MemoryTier(1_000_000);
  const policies = ["a".repeat(22), "b".repeat(22)] as const;
  for (const policy of policies) {
    memory.put(sized("a", 10, { partition: policy }));
    memory.put(sized("a", 10, { partition: `${policy}ann` }));
  }
  memory.put(sized("b", 10, { partition: policies[0] }));
  for (const partition of [...policies, ...policies.map((policy) => `${policy}ann`)])
    assert.equal(memory.find("a", partition)?.partition, partition);
  assert.equal(memory.find("b", policies[1]), undefined);
  assert.equal([...memory.ofUrl("a")].length, 4);
  for (const entry of memory.ofUrl("a")) memory.remove(entry);
  assert.equal(memory.entries, 1);
});

test("what an earlier policy left gives way to what is asked for under the next", () => {
  const memory = new MemoryTier(100_000);
  const hits = (policy: string): number => {
    let count = 0;
    for (let i = 0; i < 3_000; i += 1) {
      const url = `u${i % 40}`;
      const entry = memory.find(url, policy);
      if (entry === undefined) memory.put(sized(url, 1_000, { partition: policy }));
      else {
        memory.touch(entry);
        count += 1;
      }
    }
    return count;
  };
  const first = hits("a".repeat(22));
  assert.ok(first > 2_800, String(first));
  // What no longer fits in has been asked for as often as what there is.
  for (let i = 0; i < 60; i += 1) memory.put(sized(`other${i}`, 1_000, { partition: "a".repeat(22) }));
  const second = hits("b".repeat(22));
  assert.ok(second > 2_800, `${second} of 3000 after ${first}`);
});

test("variants of one URL are bounded", () => {
  const memory = new MemoryTier(10_000_000);
  for (let i = 0; i < 1_000; i += 1) memory.put(sized("a", 10, { vary: ["foo"], varyValues: [`+${i}`] }));
  assert.equal([...memory.ofUrl("a")].length, 64);
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
        for (const entry of all) assert.ok([...memory.ofUrl(entry.url)].includes(entry));
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

const purgeOf = (kind: Purge["kind"], value: string, soft = false): Purge => ({
  kind,
  value,
  soft,
  region: "",
});

test("the purge of a URL with very many answers is in force at once, and takes few out in one turn", () => {
  const memory = new MemoryTier(100_000_000);
  const url = "a:1 http://h/x";
  const partitions = Array.from({ length: 10_000 }, (_, i) => `one of very many callers ${i}`);
  for (const partition of partitions) memory.put(sized(url, 10, { partition }));
  assert.equal(memory.purge(purgeOf("url", url), 0), true, "there are more to be taken out");
  assert.ok(memory.entries > 9_000, `${memory.entries} are left`);
  const found = (): number => partitions.filter((partition) => has(memory, url, partition)).length;
  assert.equal(found(), 0);
  memory.put(sized(url, 10, { partition: "one of very many callers 7" }));
  for (const _ of memory.clear());
  assert.deepEqual([memory.entries, found()], [1, 1]);
});

test("property: what a purge concerns is not found any more, and all else is, whatever is taken out in between", () => {
  const numbers = fc.integer({ min: 0, max: 20 });
  const steps = fc.array(
    fc.oneof(
      fc.record({ put: numbers }),
      fc.record({ purge: fc.constantFrom<Purge["kind"]>("url", "tag", "prefix", "all"), n: numbers }),
      fc.record({ steps: numbers }),
    ),
    { maxLength: 150 },
  );
  fc.assert(
    fc.property(steps, (series) => {
      const memory = new MemoryTier(10_000_000);
      const there = new Set<number>();
      const url = (n: number): string => `a:1 http://h/${n % 2 === 0 ? "even" : "odd"}/${n}`;
      let walk: Generator<void> | undefined;
      for (const step of series) {
        if ("put" in step) {
          memory.put(sized(url(step.put), 10, { tags: [`t${step.put % 3}`] }));
          there.add(step.put);
        } else if ("steps" in step) {
          for (let i = 0; i < step.steps; i += 1)
            if ((walk ??= memory.clear()).next().done === true) walk = undefined;
        } else {
          const { purge: kind, n } = step;
          const value = { url: url(n), tag: `t${n % 3}`, prefix: n % 2 === 0 ? "/even/" : "/odd/", all: "" }[
            kind
          ];
          memory.purge(purgeOf(kind, value), 0);
          for (const one of there)
            if (concerns(purgeOf(kind, value), { url: url(one), tags: [`t${one % 3}`] })) there.delete(one);
        }
      }
      // Only now: who asks for an entry has it judged.
      for (let n = 0; n <= 20; n += 1) assert.equal(has(memory, url(n)), there.has(n), `${n}`);
      for (const one of [walk, memory.clear()]) while (one?.next().done === false);
      assert.equal(memory.entries, there.size);
    }),
  );
});

test("what was purged is taken out though the next one to be looked at has gone meanwhile", () => {
  const memory = new MemoryTier(10_000_000);
  for (const url of ["a", "b", "c"]) memory.put(sized(url, 10, { tags: ["t"] }));
  memory.purge(purgeOf("tag", "t"), 0);
  const walk = memory.clear();
  walk.next();
  memory.put(sized("b", 10, { tags: ["t"] }));
  while (walk.next().done === false);
  assert.equal(memory.entries, 1);
});

test("too many purges of one upstream to be told apart are of all of its answers, and of nobody else's", () => {
  const memory = new MemoryTier(10_000_000);
  const urls = ["bad:1 http://h/x", "good:1 http://h/x"] as const;
  for (const url of urls) memory.put(sized(url));
  for (let i = 0; i < 1_001; i += 1) memory.purge({ ...purgeOf("tag", `t${i}`), upstream: "bad:1" }, 0);
  assert.deepEqual(
    urls.map((url) => has(memory, url)),
    [false, true],
  );
  for (let i = 0; i < 1_001; i += 1) memory.purge(purgeOf("tag", `t${i}`), 0);
  assert.equal(has(memory, urls[1]), false, "an operator's are of all");
});

test("a soft purge makes stale since it came", () => {
  const memory = new MemoryTier(10_000_000);
  memory.put(sized("a", 10, { freshUntil: 9_000, tags: ["t"] }));
  memory.purge(purgeOf("tag", "t", true), 5_000);
  assert.equal(memory.select("a", "", hashText("a"), new Fields([]))?.freshUntil, 5_000);
});
