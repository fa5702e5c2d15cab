// The cache's tables and memory: what is stored can be read back, and nothing else stays.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { BodyCopy, bytesOf, inOwnMemory } from "../../../plugins/cache/store/body-copy.ts";
import type { Entry } from "../../../plugins/cache/store/entry.ts";
import { type Flight, Flights } from "../../../plugins/cache/store/flights.ts";
import { hashText } from "../../../plugins/cache/store/intrusive-hash-table.ts";
import { HitForMiss } from "../../../plugins/cache/store/hit-for-miss.ts";
import { MemoryTier } from "../../../plugins/cache/store/memory.ts";
import { type Fill, Purges } from "../../../plugins/cache/purge/purges.ts";
import { entryOf } from "./entries.ts";

// Two policies at one URL, and so few hashes that chains grow long.
const keyOf = (n: number) => ({ url: `u${n >> 1}`, hash: (n >> 1) % 7, shared: `p${n % 2}` });

test("property: flights are found as in a map, whatever begins and ends in between", () => {
  const steps = fc.array(fc.record({ n: fc.integer({ min: 0, max: 300 }), ends: fc.boolean() }), {
    maxLength: 600,
  });
  fc.assert(
    fc.property(steps, (series) => {
      const flights = new Flights();
      const model = new Map<number, Flight>();
      for (const { n, ends } of series) {
        const known = model.get(n);
        if (ends) known?.end({ kind: "uncacheable" });
        if (ends) model.delete(n);
        else if (known === undefined) model.set(n, flights.begin(keyOf(n), 0));
        assert.equal(flights.find(keyOf(n), 0, 1), model.get(n));
        assert.equal(flights.size, model.size);
      }
      for (const [n, flight] of model) assert.equal(flights.find(keyOf(n), 0, 1), flight);
    }),
  );
});

test("a purge spoils the fills under way, whichever have ended before", () => {
  const purges = new Purges(new MemoryTier(0), () => 0);
  const fills: Fill[] = Array.from({ length: 5 }, () => ({
    url: "u",
    invalidated: false,
    standIn: undefined,
    place: -1,
  }));
  for (const fill of fills) purges.beginFill(fill);
  for (const index of [1, 4, 1, 0]) purges.endFill(fills[index] as Fill);
  assert.equal(purges.fills, 2);
  purges.apply({ kind: "url", value: "u", soft: false, region: "" }, 0);
  assert.deepEqual(
    fills.map(({ invalidated }) => invalidated),
    [false, false, true, true, false],
  );
  for (const index of [3, 2]) purges.endFill(fills[index] as Fill);
  assert.equal(purges.fills, 0);
});

/** Those of everybody by some policy, and of callers. */
const partitionOf = (n: number): string => (n % 2 === 0 ? `policy ${n}` : `one caller of many, ${n}`);

test("property: each partition of a URL is found until its last variant goes, and leaves nothing", () => {
  const steps = fc.array(fc.record({ partition: fc.integer({ min: 0, max: 5 }), goes: fc.boolean() }), {
    maxLength: 60,
  });
  fc.assert(
    fc.property(steps, (series) => {
      const memory = new MemoryTier(1_000_000);
      const there = new Set<number>();
      for (const { partition, goes } of series) {
        const own = memory.ofUrl("u").filter((entry) => entry.partition === partitionOf(partition));
        if (goes) for (const entry of own) memory.remove(entry);
        else memory.put(entryOf({ partition: partitionOf(partition) }));
        if (goes) there.delete(partition);
        else there.add(partition);
        const found = [0, 1, 2, 3, 4, 5].filter((n) => memory.find("u", partitionOf(n)) !== undefined);
        assert.deepEqual(
          found,
          [...there].sort((a, b) => a - b),
        );
        assert.equal([...memory.ofUrl("u")].length, there.size);
      }
    }),
  );
});

test("small bodies share memory without touching each other, and leave it when they are kept", () => {
  const bodies: Buffer[] = [];
  const budget = { bytes: 0, maxBytes: 1_000_000 };
  for (let i = 0; i < 100; i += 1) {
    const copy = new BodyCopy(budget, 10_000, undefined, {
      complete: (body) => bodies.push(body),
      abandoned: () => assert.fail(),
      aborted: () => assert.fail(),
    });
    copy.chunk(Buffer.alloc(i * 13, i));
    copy.end();
  }
  for (const [i, body] of bodies.entries()) {
    assert.ok(body.equals(Buffer.alloc(i * 13, i)), String(i));
    const own = inOwnMemory(body);
    assert.ok(bytesOf(own).equals(body));
    assert.ok(typeof own === "string" || own.byteLength === body.length);
  }
  assert.ok(new Set(bodies.map(({ buffer }) => buffer)).size < 40);
});

test("a mark holds for ten seconds, for its own hash, until it is taken away", () => {
  const marks = new HitForMiss();
  const hash = hashText("u");
  marks.add(hash, 0);
  assert.deepEqual(
    [marks.has(hash, 9_999), marks.has(hash, 10_000), marks.has(hash + 8_192, 0)],
    [true, false, false],
  );
  marks.delete(hash + 8_192);
  assert.ok(marks.has(hash, 0));
  marks.delete(hash);
  assert.ok(!marks.has(hash, 0));
});

test("a flood of one upstream's purges makes nothing of another's doubtful", () => {
  const purges = new Purges(new MemoryTier(0), () => 0);
  const entry = (url: string): Entry => ({ url, tags: ["t"], requestedAt: 5 }) as unknown as Entry;
  for (let i = 0; i < 1_100; i += 1)
    purges.apply({ kind: "tag", value: `t${i}`, soft: false, region: "", upstream: "bad:1" }, 10);
  assert.equal(purges.isPurged(entry("bad:1 http://h/x")), true, "what is forgotten does not come back");
  assert.equal(purges.isPurged(entry("good:1 http://h/x")), false);
  purges.distrustBefore(0);
  assert.equal(purges.isPurged(entry("bad:1 http://h/x")), true);
  purges.apply({ kind: "tag", value: "t", soft: false, region: "" }, 10);
  assert.equal(purges.isPurged(entry("good:1 http://h/x")), true, "an operator's purge is for all");
});
