// Measures what an entry of the cache's memory tier takes, on the heap and outside of it, compared with what the tier
// counts: `node test/bench/cache-entry.ts [--entries 100000]`
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import v8 from "node:v8";
import vm from "node:vm";
import { bodyMemory } from "../../plugins/cache/store/body-copy.ts";
import { MemoryTier } from "../../plugins/cache/store/memory.ts";
import { receivedEntry } from "../plugins/cache/entries.ts";

const { values: chosen } = parseArgs({
  options: { entries: { type: "string", default: "100000" }, bytes: { type: "string" } },
});

/** Each size runs in a process of its own, so that leftovers of one do not distort the next. */
if (chosen.bytes === undefined) {
  for (const bytes of ["100", "300", "1024", "2000", "20000"]) {
    const entries = bytes === "20000" ? "20000" : chosen.entries;
    spawnSync(process.execPath, [import.meta.filename, "--entries", entries, "--bytes", bytes], {
      stdio: "inherit",
    });
  }
} else measure(Number(chosen.entries), Number(chosen.bytes));

function measure(entries: number, bytes: number): void {
  v8.setFlagsFromString("--expose-gc");
  const collect = vm.runInNewContext("gc") as () => void;
  const tier = new MemoryTier(entries * (bytes + 1_500));
  const received = Buffer.alloc(bytes, "x");
  // Lets V8 compile before the first measurement.
  fill(new MemoryTier(100_000), received, 2_000);
  const before = held(collect);
  fill(tier, received, entries);
  const after = held(collect);
  const each = (name: keyof typeof after): string => ((after[name] - before[name]) / entries).toFixed(0);
  console.log(
    `${entries} entries, bodies of ${bytes} bytes: ${each("heap")} on the heap, ${each("outside")} outside; ` +
      `counted ${(tier.bytes / entries).toFixed(0)}`,
  );
}

/** Fills the tier as answers arrive: each body is copied first, and garbage is collected now and then. */
function fill(tier: MemoryTier, received: Buffer, entries: number): void {
  for (let index = 0; index < entries; index += 1) {
    const body = bodyMemory(received.length);
    received.copy(body);
    tier.put(receivedEntry(index, body));
  }
}

/** Live bytes on the heap, and memory of the process outside of the heap, with the allocator's overhead. */
function held(collect: () => void): { heap: number; outside: number } {
  collect();
  collect();
  const { used_heap_size: heap, total_physical_size: physical } = v8.getHeapStatistics();
  const [, dirtyKiB] =
    /^Private_Dirty:\s+(\d+)/mu.exec(readFileSync("/proc/self/smaps_rollup", "utf8")) ?? [];
  return { heap, outside: Number(dirtyKiB) * 1024 - physical };
}
