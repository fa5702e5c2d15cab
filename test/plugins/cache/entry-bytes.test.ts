import assert from "node:assert/strict";
import { test } from "node:test";
import v8 from "node:v8";
import vm from "node:vm";
import { inOwnMemory } from "../../../plugins/cache/store/body-copy.ts";
import { parseResponseDirectives } from "../../../plugins/cache/semantics/directives.ts";
import { type Entry, StoredEntry } from "../../../plugins/cache/store/entry.ts";
import { MemoryTier } from "../../../plugins/cache/store/memory.ts";
import { storedFields } from "../../../plugins/cache/semantics/storing.ts";
import { noNames } from "../../../plugins/cache/semantics/vary.ts";
import { Fields } from "../../../src/plugin-api/fields.ts";

v8.setFlagsFromString("--expose-gc");
const collect = vm.runInNewContext("gc") as () => void;

/** Strings as a parser makes them: parts of one longer one. */
function receivedFields(bodyBytes: number): string[] {
  const lines = [
    "Content-Type: text/plain",
    "Cache-Control: max-age=600",
    "Date: Sun, 22 Nov 2026 08:41:00 GMT",
    `Content-Length: ${bodyBytes}`,
  ];
  const head = Buffer.from(lines.join("\r\n")).toString("latin1");
  return head.split("\r\n").flatMap((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon), line.slice(colon + 2)];
  });
}

function entry(index: number, bodyBytes: number): Entry {
  const fields = new Fields(receivedFields(bodyBytes));
  const facts = {
    url: Buffer.from(`127.0.0.1:3000 http://127.0.0.1:8080/catalog/item-${index}?v=1`).toString("latin1"),
    partition: "",
    status: 200,
    fields: storedFields(fields, parseResponseDirectives("max-age=600"), [], 0),
    etag: undefined,
    lastModified: undefined,
    dateMs: 1_795_336_860_000,
    bornAt: 1_795_336_860_000.5,
    requestedAt: 1_795_336_859_990.25,
    freshUntil: 1_795_337_460_000.5,
    staleWhileRevalidateMs: 0,
    staleIfErrorMs: 0,
    mayServeStale: true,
    alwaysValidate: false,
    immutable: false,
    forAnyone: true,
    implicit: false,
    vary: noNames,
    varyValues: noNames,
    tags: noNames,
  };
  return new StoredEntry(facts, inOwnMemory(Buffer.alloc(bodyBytes)), undefined);
}

function heldBytes(): number {
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

// None is collected while another one is measured.
const tiers: MemoryTier[] = [];

for (const bodyBytes of [300, 2_000, 20_000]) {
  test(`what the memory tier counts is what it holds, with bodies of ${bodyBytes} bytes`, () => {
    const tier = new MemoryTier(1_000_000_000);
    tiers.push(tier);
    const before = heldBytes();
    for (let i = 0; i < 4_000; i += 1) tier.put(entry(i, bodyBytes));
    const share = tier.bytes / (heldBytes() - before);
    assert.equal(tier.entries, 4_000);
    // More is counted than shows here: what malloc adds.
    assert.ok(share > 0.97 && share < 1.25, `counted ${share.toFixed(2)} of what is held`);
  });
}
