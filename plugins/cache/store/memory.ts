// The memory tier: bounded in bytes, keys and fields counted. A new entry stands in a small window first; out of it
// only what is asked for more often than what it would displace comes into the main part, so that a scan of URLs
// asked for once flushes nothing (W-TinyLFU with SIEVE as the main part's order).
import type { Fields } from "../../../src/plugin-api/contract.ts";
import { EntryIndex, matches } from "./entry-index.ts";
import { OwedPurges } from "../purge/owed-purges.ts";
import { isExact, type Purge } from "../purge/purge.ts";
import { hashText } from "./intrusive-hash-table.ts";
import { Queue } from "./queue.ts";
import { FrequencySketch } from "./sketch.ts";
import type { StoredEntry } from "./stored-entry.ts";

const windowShare = 0.01;
/** Most entries of a URL that its purge takes out at once. */
const maxAtOnce = 256;

export class MemoryTier {
  readonly #index = new EntryIndex();
  #sketch: FrequencySketch;
  readonly #window = new Queue<StoredEntry>();
  readonly #main = new Queue<StoredEntry>();
  /** SIEVE's hand: the next entry of the main part to be judged. */
  #hand: StoredEntry | undefined = undefined;
  readonly #owed = new OwedPurges();
  /** Where a walk over all entries has come to. */
  #walked: StoredEntry | undefined = undefined;
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
    let entry = this.#index.newest(url, partition, urlHash);
    while (entry !== undefined && this.#owed.isPurged(entry)) entry = this.#index.older(entry);
    return entry;
  }

  /** The newest variant whose selecting fields match the request's. */
  select(url: string, partition: string, urlHash: number, request: Fields): StoredEntry | undefined {
    let entry = this.#index.newest(url, partition, urlHash);
    while (entry !== undefined && (this.#owed.isPurged(entry) || !matches(entry, request)))
      entry = this.#index.older(entry);
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
    entry.judged = this.#owed.latest;
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
    this.#cut(entry, entry.queue);
    this.#index.remove(entry);
  }

  /** Entries of one URL, in every partition. */
  ofUrl(url: string): Generator<StoredEntry> {
    return this.#index.ofUrl(url, hashText(url));
  }

  /** From now on nothing is found that it concerns. @returns whether some may still be here: see `clear` */
  purge(purge: Purge, nowMs: number): boolean {
    if (isExact(purge) && !purge.soft) {
      let left = maxAtOnce;
      const entries = this.ofUrl(purge.value);
      let next = entries.next();
      for (; next.done !== true && left > 0; next = entries.next(), left -= 1) this.remove(next.value);
      if (next.done === true) return false;
    }
    this.#owed.add(purge, nowMs);
    return true;
  }

  /** Takes out what was purged, an entry looked at each step. One walk at a time. */
  *clear(): Generator<void> {
    const { latest } = this.#owed;
    for (const entry of this.all()) {
      if (this.#owed.isPurged(entry)) this.remove(entry);
      yield;
    }
    this.#owed.settle(latest);
  }

  /** Every entry, oldest first; between two of them others may come and go. One walk at a time. */
  *all(): Generator<StoredEntry> {
    for (const queue of [this.#window, this.#main]) {
      this.#walked = queue.oldest;
      for (let entry = this.#walked; entry !== undefined; entry = this.#walked) {
        this.#walked = entry.newer;
        yield entry;
      }
    }
  }

  #cut(entry: StoredEntry, queue: Queue<StoredEntry>): void {
    if (this.#walked === entry) this.#walked = entry.newer;
    queue.cut(entry);
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
      const left = this.#leftAt(candidate);
      if (left !== undefined) {
        this.remove(left);
        continue;
      }
      const victim = this.#victim();
      if (victim === undefined || this.#sketch.estimate(victim.hash) >= wanted) {
        // The next candidate meets another one: the few worth most would keep all out who come while they stand here.
        if (victim !== undefined) this.#hand = victim.newer;
        this.remove(candidate);
        return;
      }
      this.remove(victim);
    }
    this.#cut(candidate, this.#window);
    candidate.bytes = candidate.settle();
    candidate.visited = false;
    this.#main.append(candidate);
  }

  // What another policy has stored of the same URL, and nobody has asked for since it was last passed by. It is counted
  // by the URL as well, and would keep out for long what is asked for now.
  #leftAt(candidate: StoredEntry): StoredEntry | undefined {
    for (const entry of this.#index.byOtherPolicies(candidate)) {
      if (entry.queue !== this.#main) continue;
      if (!entry.visited) return entry;
      entry.visited = false;
    }
    return undefined;
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
