// The memory tier: bounded in bytes, keys and fields counted. A new entry stands in a small window first; out of it
// only what is asked for more often than what it would displace comes into the main part, so that a scan of URLs
// asked for once flushes nothing (W-TinyLFU with SIEVE as the main part's order).
import { inOwnMemory } from "./body-copy.ts";
import { entryBytes, type Entry } from "./entry.ts";
import { hashText } from "./linked-table.ts";
import { Cell, putFirst, Shelf, type Slot } from "./shelf.ts";
import { FrequencySketch } from "./sketch.ts";

const windowShare = 0.01;

export class MemoryTier {
  readonly #shelf = new Shelf();
  #sketch: FrequencySketch;
  readonly #window = new Queue();
  readonly #main = new Queue();
  /** SIEVE's hand: the next cell of the main part to be judged. */
  #hand: Cell | undefined = undefined;
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

  /** Variants of a URL for a partition. Marks nothing. @param hash of the URL, for who has it already */
  find(url: string, partition: string, hash = hashText(url)): Slot | undefined {
    return this.#shelf.slot(url, hash, partition);
  }

  /** Notes that a cell answered a request. */
  touch(cell: Cell): void {
    cell.visited = true;
    this.#sketch.add(cell.hash);
  }

  /**
   * Puts an entry in the place of the same variant, and counts the request that brought it.
   * @returns false when it is larger than the window may hold
   */
  put(entry: Entry, urlHash = hashText(entry.url)): boolean {
    const { url, partition } = entry;
    const bytes = entryBytes(entry);
    const hash = hashText(partition, urlHash);
    this.#sketch.add(hash);
    const cell = new Cell(entry, this.#shelf.open(url, urlHash, partition), bytes, hash);
    for (const displaced of putFirst(cell)) this.remove(displaced);
    if (bytes > this.#maxBytes * (1 - windowShare)) {
      this.#shelf.take(cell);
      return false;
    }
    this.#window.append(cell);
    this.#settle();
    return true;
  }

  remove(cell: Cell): void {
    if (this.#hand === cell) this.#hand = cell.newer;
    (cell.inWindow ? this.#window : this.#main).cut(cell);
    this.#shelf.take(cell);
  }

  /** Cells of one URL, in every partition. */
  ofUrl(url: string): Cell[] {
    return this.#shelf.cellsOf(url, hashText(url));
  }

  /** Every cell, oldest first; for purges by prefix and tag. */
  *all(): Generator<Cell> {
    for (const queue of [this.#window, this.#main]) {
      let cell = queue.oldest;
      while (cell !== undefined) {
        // Read before the yield: the receiver may remove the cell.
        const next: Cell | undefined = cell.newer;
        yield cell;
        cell = next;
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
  #admit(candidate: Cell, mainBytes: number): void {
    const wanted = this.#sketch.estimate(candidate.hash);
    while (this.#main.bytes + candidate.bytes > mainBytes) {
      const victim = this.#victim();
      if (victim === undefined || this.#sketch.estimate(victim.hash) >= wanted) {
        this.remove(candidate);
        return;
      }
      this.remove(victim);
    }
    this.#window.cut(candidate);
    candidate.inWindow = false;
    candidate.entry.body = inOwnMemory(candidate.entry.body);
    candidate.visited = false;
    this.#main.append(candidate);
  }

  // SIEVE: the hand goes from old to new, spares once what was visited, and stays where it stopped.
  #victim(): Cell | undefined {
    let cell = this.#hand ?? this.#main.oldest;
    while (cell?.visited === true) {
      cell.visited = false;
      cell = cell.newer ?? this.#main.oldest;
    }
    this.#hand = cell;
    return cell;
  }
}

/** A doubly linked list of cells, oldest to newest. */
class Queue {
  oldest: Cell | undefined = undefined;
  newest: Cell | undefined = undefined;
  bytes = 0;
  count = 0;

  append(cell: Cell): void {
    cell.older = this.newest;
    cell.newer = undefined;
    if (this.newest === undefined) this.oldest = cell;
    else this.newest.newer = cell;
    this.newest = cell;
    this.bytes += cell.bytes;
    this.count += 1;
  }

  cut(cell: Cell): void {
    if (cell.older === undefined) this.oldest = cell.newer;
    else cell.older.newer = cell.newer;
    if (cell.newer === undefined) this.newest = cell.older;
    else cell.newer.older = cell.older;
    // A dead cell that the collector has aged already would keep its neighbours alive until a full collection.
    cell.older = undefined;
    cell.newer = undefined;
    this.bytes -= cell.bytes;
    this.count -= 1;
  }
}

/** Four counters for each entry of 1 KiB; 64 KiB of them at the least, so that a small cache remembers as well. */
function sketchWidth(maxBytes: number): number {
  return 2 ** Math.min(22, Math.max(14, Math.ceil(Math.log2((maxBytes / 1_024) * 4))));
}
