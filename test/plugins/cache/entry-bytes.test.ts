import assert from "node:assert/strict";
import { test } from "node:test";
import v8 from "node:v8";
import vm from "node:vm";
import { MemoryTier } from "../../../plugins/cache/store/memory.ts";
import type { StoredEntry } from "../../../plugins/cache/store/stored-entry.ts";
import { entryOf, receivedEntry } from "./entries.ts";

v8.setFlagsFromString("--expose-gc");
const collect = vm.runInNewContext("gc") as () => void;

function heldBytes(): number {
  collect();
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

const entries = 4_000;
/** What malloc and V8 add to the memory of a Buffer, and Node does not tell: `test/bench/cache-entry.ts` shows it. */
const besideBuffers = 280;

// None is collected while another one is measured.
const tiers: MemoryTier[] = [];

function filled(bodyBytes: number): MemoryTier {
  // The window, where entries are as they came, is a hundredth.
  const tier = new MemoryTier(entries * (bodyBytes + 1_500));
  tiers.push(tier);
  for (let i = 0; i < entries; i += 1) tier.put(receivedEntry(i, Buffer.alloc(bodyBytes, "x")));
  return tier;
}

// Code that is compiled meanwhile is no entry's.
filled(300);

for (const bodyBytes of [300, 2_000, 20_000]) {
  test(`what the memory tier counts is what it holds, with bodies of ${bodyBytes} bytes`, () => {
    const before = heldBytes();
    const tier = filled(bodyBytes);
    const held = heldBytes() - before + (bodyBytes > 512 ? entries * besideBuffers : 0);
    assert.equal(tier.entries, entries);
    const share = tier.bytes / held;
    assert.ok(share > 0.97 && share < 1.07, `counted ${share.toFixed(2)} of what is held`);
  });
}

// As a parser makes them: parts of one long head, and what is not the same in any other.
function entryOfHeads(index: number): StoredEntry {
  const head = Buffer.from(`${String(index).padStart(12, "0")}${"h".repeat(3_000)}`).toString("latin1");
  const part = (length: number): string => head.slice(0, length);
  return entryOf({
    url: Buffer.from(`u${index}`).toString("latin1"),
    fields: [part(90), part(40), `X-${part(20)}`, part(200)],
    etag: part(40),
    vary: ["origin"],
    varyValues: [`+${part(60)}`],
    tags: [part(33), part(34)],
    forwardedDiff: { set: [part(25), part(50)], removed: [part(26)] },
    body: Buffer.from("x"),
  });
}

test("an entry keeps nothing alive of the heads of its request and answer", () => {
  const fill = (): MemoryTier => {
    const tier = new MemoryTier(entries * 3_000);
    tiers.push(tier);
    for (let i = 0; i < entries; i += 1) tier.put(entryOfHeads(i));
    return tier;
  };
  fill();
  const before = heldBytes();
  const tier = fill();
  const share = tier.bytes / (heldBytes() - before);
  assert.equal(tier.entries, entries);
  assert.ok(share > 0.9 && share < 1.1, `counted ${share.toFixed(2)} of what is held`);
});
