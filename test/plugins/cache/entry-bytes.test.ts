import assert from "node:assert/strict";
import { test } from "node:test";
import v8 from "node:v8";
import vm from "node:vm";
import { MemoryTier } from "../../../plugins/cache/store/memory.ts";
import { receivedEntry } from "./entries.ts";

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
