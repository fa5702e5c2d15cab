// The memory tier: bounded in bytes, keys and fields counted. A new entry stands in a small window first; out of it
// only what is asked for more often than what it would displace comes into the main part, so that a scan of URLs
// asked for once flushes nothing (W-TinyLFU with SIEVE as the main part's order).
import type { Fields } from "../../../src/plugin-api/contract.ts";
import { EntryIndex, matches } from "./entry-index.ts";
import { hashText } from "./intrusive-hash-table.ts";
import { Queue } from "./queue.ts";
import { FrequencySketch } from "./sketch.ts";
import type { StoredEntry } from "./stored-entry.ts";

const windowShare = 0.01;

export class MemoryTier {
  readonly #index = new EntryIndex();
  #sketch: FrequencySketch;
  readonly #window = new Queue<StoredEntry>();
  readonly #main = new Queue<StoredEntry>();
  /** SIEVE's hand: the next entry of the main part to be judged. */
  #hand: StoredEntry | undefined = undefined;
  #maxBytes: number;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
    this.#sketch = new FrequencySketch(sketchWidth(maxBytes));
  }

  get bytes(): number {
    return this.#window.bytes + this.#main.bytes;
  }

  get entries(): number {
    return this.#window.count + this.#main.count;
  }

  /** Changes the bound; a smaller one takes effect at once. */
  resize(maxBytes: number): void {
    if (maxBytes === this.#maxBytes) return;
    this.#maxBytes = maxBytes;
    this.#sketch = new FrequencySketch(sketchWidth(maxBytes));
    this.#settle();
  }

  /** The newest variant of a URL for a partition. Marks nothing. @param urlHash for who has it already */
  find(url: string, partition: string, urlHash = hashText(url)): StoredEntry | undefined {
    return this.#index.newest(url, partition, urlHash);
  }

  /** The newest variant whose selecting fields match the request's. */
  select(url: string, partition: string, urlHash: number, request: Fields): StoredEntry | undefined {
    let entry = this.#index.newest(url, partition, urlHash);
    while (entry !== undefined && !matches(entry, request)) entry = this.#index.older(entry);
    return entry;
  }

  /** Notes that an entry answered a request. */
  touch(entry: StoredEntry): void {
    entry.visited = true;
    this.#sketch.add(entry.hash);
  }

  /**
   * Puts an entry in the place of the same variant, and counts the request that brought it.
   * @returns false when it is larger than the window may hold
   */
  put(entry: StoredEntry, urlHash = hashText(entry.url)): boolean {
    entry.bytes = entry.receivedBytes();
    for (const displaced of this.#index.add(entry, urlHash)) this.remove(displaced);
    this.#sketch.add(entry.hash);
    if (entry.bytes > this.#maxBytes * (1 - windowShare)) {
      this.#index.remove(entry);
      return false;
    }
    this.#window.append(entry);
    this.#settle();
    return true;
  }

  /** Does nothing for one that is not here any more. */
  remove(entry: StoredEntry): void {
    if (entry.queue === undefined) return;
    if (this.#hand === entry) this.#hand = entry.newer;
    entry.queue.cut(entry);
    this.#index.remove(entry);
  }

  /** Entries of one URL, in every partition. */
  ofUrl(url: string): StoredEntry[] {
    return this.#index.ofUrl(url, hashText(url));
  }

  /** Every entry, oldest first; for purges by prefix and tag. */
  *all(): Generator<StoredEntry> {
    for (const queue of [this.#window, this.#main]) {
      let entry = queue.oldest;
      while (entry !== undefined) {
        // Read before the yield: the receiver may remove the entry.
        const next: StoredEntry | undefined = entry.newer;
        yield entry;
        entry = next;
      }
    }
  }

  #settle(): void {
    const windowBytes = this.#maxBytes * windowShare;
    while (this.bytes > this.#maxBytes || this.#window.bytes > windowBytes) {
      const candidate = this.#window.bytes > windowBytes ? this.#window.oldest : undefined;
      if (candidate === undefined) {
        const victim = this.#victim() ?? this.#window.oldest;
        if (victim === undefined) return;
        this.remove(victim);
      } else this.#admit(candidate, this.#maxBytes - windowBytes);
    }
  }

  // What leaves the window comes into the main part where there is room, or where it beats everything that must go.
  #admit(candidate: StoredEntry, mainBytes: number): void {
    const wanted = this.#sketch.estimate(candidate.hash);
    while (this.#main.bytes + candidate.bytes > mainBytes) {
      const victim = this.#victim();
      if (victim === undefined || this.#sketch.estimate(victim.hash) >= wanted) {
        // The next candidate meets another one: the few worth most would keep all out who come while they stand here.
        if (victim !== undefined) this.#hand = victim.newer;
        this.remove(candidate);
        return;
      }
      this.remove(victim);
    }
    this.#window.cut(candidate);
    candidate.bytes = candidate.settle();
    candidate.visited = false;
    this.#main.append(candidate);
  }

  // SIEVE: the hand goes from old to new, spares once what was visited, and stays where it stopped.
  #victim(): StoredEntry | undefined {
    let entry = this.#hand ?? this.#main.oldest;
    while (entry?.visited === true) {
      entry.visited = false;
      entry = entry.newer ?? this.#main.oldest;
    }
    this.#hand = entry;
    return entry;
  }
}

/** Four counters for each entry of 1 KiB; 64 KiB of them at the least, so that a small cache remembers as well. */
function sketchWidth(maxBytes: number): number {
  return 2 ** Math.min(22, Math.max(14, Math.ceil(Math.log2((maxBytes / 1_024) * 4))));
}
