// Keeps entries in memory, bounded in bytes, keys and fields counted. A new entry starts in a small window. It moves to
// the main part if there is room, or if it is requested more often than the entries that it would displace, so that a
// scan of URLs requested once flushes nothing (W-TinyLFU, with SIEVE for eviction in the main part).
import type { Fields } from "../../../src/plugin-api/contract.ts";
import { EntryIndex, matches } from "./entry-index.ts";
import { OwedPurges } from "../purge/owed-purges.ts";
import { isExact, type Purge } from "../purge/purge.ts";
import { hashText } from "./intrusive-hash-table.ts";
import { Queue } from "./queue.ts";
import { FrequencySketch } from "./sketch.ts";
import type { StoredEntry } from "./stored-entry.ts";

const windowShare = 0.01;
/** Most entries of a URL that a purge of that URL removes at once. */
const maxAtOnce = 256;

export class MemoryTier {
  readonly #index = new EntryIndex();
  #sketch: FrequencySketch;
  readonly #window = new Queue<StoredEntry>();
  readonly #main = new Queue<StoredEntry>();
  /** SIEVE's hand: the next entry of the main part to be judged. */
  #hand: StoredEntry | undefined = undefined;
  readonly #owed = new OwedPurges();
  /** The next entry of a walk over all entries. */
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

  /** @returns the newest variant of a URL and partition. Counts no use. @param urlHash saves hashing the URL */
  find(url: string, partition: string, urlHash = hashText(url)): StoredEntry | undefined {
    let entry = this.#index.newest(url, partition, urlHash);
    while (entry !== undefined && this.#owed.isPurged(entry)) entry = this.#index.older(entry);
    return entry;
  }

  /** @returns the newest variant that matches the request's fields */
  select(url: string, partition: string, urlHash: number, request: Fields): StoredEntry | undefined {
    let entry = this.#index.newest(url, partition, urlHash);
    while (entry !== undefined && (this.#owed.isPurged(entry) || !matches(entry, request)))
      entry = this.#index.older(entry);
    return entry;
  }

  /** Counts a use of an entry. */
  touch(entry: StoredEntry): void {
    entry.visited = true;
    this.#sketch.add(entry.hash);
  }

  /**
   * Puts an entry in the place of the same variant, and counts the request that brought it.
   * @returns false if the entry is too large for the main part, and so is not kept
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

  /** Does nothing for an entry that is no longer in the tier. */
  remove(entry: StoredEntry): void {
    if (entry.queue === undefined) return;
    if (this.#hand === entry) this.#hand = entry.newer;
    this.#cut(entry, entry.queue);
    this.#index.remove(entry);
  }

  /** Yields the entries of one URL in every partition. */
  ofUrl(url: string): Generator<StoredEntry> {
    return this.#index.ofUrl(url, hashText(url));
  }

  /**
   * Applies a purge: from now on no look-up finds an entry that a hard purge concerns.
   * @returns whether purged entries may still take memory, so that `clear` must run
   */
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

  /** Removes purged entries; each step checks one entry. Only one walk at a time. */
  *clear(): Generator<void> {
    const { latest } = this.#owed;
    for (const entry of this.all()) {
      if (this.#owed.isPurged(entry)) this.remove(entry);
      yield;
    }
    this.#owed.settle(latest);
  }

  /** Yields every entry, window first, oldest first; entries may come and go meanwhile. Only one walk at a time. */
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

  // Moves an entry from the window to the main part if there is room, or if it was requested more often than every
  // entry that must make room. Otherwise removes it.
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
        // Moves the hand on, so that the next candidate meets another victim. Otherwise a few frequent entries at the
        // hand would keep every candidate out.
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

  // Finds an entry of the same URL that another policy stored and that was not used since the last check. The sketch
  // counts both under the URL's hash, so the old entry would keep the new one out for long.
  #leftAt(candidate: StoredEntry): StoredEntry | undefined {
    for (const entry of this.#index.byOtherPolicies(candidate)) {
      if (entry.queue !== this.#main) continue;
      if (!entry.visited) return entry;
      entry.visited = false;
    }
    return undefined;
  }

  // SIEVE: the hand moves from old to new, spares each visited entry once, and stays where it stops.
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

/** @returns counters per row: four for each KiB of the cache; at least 2^14 (64 KiB in four rows), for small caches */
function sketchWidth(maxBytes: number): number {
  return 2 ** Math.min(22, Math.max(14, Math.ceil(Math.log2((maxBytes / 1_024) * 4))));
}
