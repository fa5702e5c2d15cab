// Keeps the memory tier of a plugin's cache: an LRU cache bounded in bytes.
import { LRUCache } from "lru-cache";
import type { Entry } from "./entry.ts";

interface Kept {
  readonly entry: Entry;
  /** Expiry in this tier, in milliseconds on the monotonic clock. */
  readonly untilMono: number;
}

/** Memory that an entry takes beside its texts. */
const overheadBytes = 200;

export class MemoryTier {
  readonly #kept: LRUCache<string, Kept>;

  constructor(maxBytes: number) {
    this.#kept = new LRUCache({
      maxSize: maxBytes,
      // A string takes two bytes per character if one of them is not Latin-1.
      sizeCalculation: ({ entry }, key) => (key.length + entry.json.length) * 2 + overheadBytes,
    });
  }

  get bytes(): number {
    return this.#kept.calculatedSize;
  }

  get(key: string, nowMono: number): Entry | undefined {
    const kept = this.#kept.get(key);
    if (kept === undefined) return undefined;
    if (kept.untilMono > nowMono) return kept.entry;
    this.#kept.delete(key);
    return undefined;
  }

  set(key: string, entry: Entry, untilMono: number): void {
    this.#kept.set(key, { entry, untilMono });
  }

  delete(key: string): void {
    this.#kept.delete(key);
  }

  clear(): void {
    this.#kept.clear();
  }
}
