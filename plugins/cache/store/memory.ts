// The memory tier: bounded in bytes, keys and fields counted. A new entry stands in a small window first; out of it
// only what is asked for more often than what it would displace comes into the main part, so that a scan of URLs
// asked for once flushes nothing (W-TinyLFU with SIEVE as the main part's order).
import { inOwnMemory } from "./body-copy.ts";
import { entryBytes, type Entry } from "./entry.ts";
import { hashText } from "./intrusive-hash-table.ts";
import { CacheNode, putFirst, UrlIndex, type VariantSet } from "./url-index.ts";
import { FrequencySketch } from "./sketch.ts";

const windowShare = 0.01;

export class MemoryTier {
  readonly #index = new UrlIndex();
  #sketch: FrequencySketch;
  readonly #window = new Queue();
  readonly #main = new Queue();
  /** SIEVE's hand: the next node of the main part to be judged. */
  #hand: CacheNode | undefined = undefined;
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
  find(url: string, partition: string, hash = hashText(url)): VariantSet | undefined {
    return this.#index.variantSet(url, hash, partition);
  }

  /** Notes that a node answered a request. */
  touch(node: CacheNode): void {
    node.visited = true;
    this.#sketch.add(node.hash);
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
    const node = new CacheNode(entry, this.#index.open(url, urlHash, partition), bytes, hash);
    for (const displaced of putFirst(node)) this.remove(displaced);
    if (bytes > this.#maxBytes * (1 - windowShare)) {
      this.#index.take(node);
      return false;
    }
    this.#window.append(node);
    this.#settle();
    return true;
  }

  remove(node: CacheNode): void {
    if (this.#hand === node) this.#hand = node.newer;
    (node.inWindow ? this.#window : this.#main).cut(node);
    this.#index.take(node);
  }

  /** Cells of one URL, in every partition. */
  ofUrl(url: string): CacheNode[] {
    return this.#index.nodesOf(url, hashText(url));
  }

  /** Every node, oldest first; for purges by prefix and tag. */
  *all(): Generator<CacheNode> {
    for (const queue of [this.#window, this.#main]) {
      let node = queue.oldest;
      while (node !== undefined) {
        // Read before the yield: the receiver may remove the node.
        const next: CacheNode | undefined = node.newer;
        yield node;
        node = next;
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
  #admit(candidate: CacheNode, mainBytes: number): void {
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
  #victim(): CacheNode | undefined {
    let node = this.#hand ?? this.#main.oldest;
    while (node?.visited === true) {
      node.visited = false;
      node = node.newer ?? this.#main.oldest;
    }
    this.#hand = node;
    return node;
  }
}

/** A doubly linked list of nodes, oldest to newest. */
class Queue {
  oldest: CacheNode | undefined = undefined;
  newest: CacheNode | undefined = undefined;
  bytes = 0;
  count = 0;

  append(node: CacheNode): void {
    node.older = this.newest;
    node.newer = undefined;
    if (this.newest === undefined) this.oldest = node;
    else this.newest.newer = node;
    this.newest = node;
    this.bytes += node.bytes;
    this.count += 1;
  }

  cut(node: CacheNode): void {
    if (node.older === undefined) this.oldest = node.newer;
    else node.older.newer = node.newer;
    if (node.newer === undefined) this.newest = node.older;
    else node.newer.older = node.older;
    // A dead node that the collector has aged already would keep its neighbours alive until a full collection.
    node.older = undefined;
    node.newer = undefined;
    this.bytes -= node.bytes;
    this.count -= 1;
  }
}

/** Four counters for each entry of 1 KiB; 64 KiB of them at the least, so that a small cache remembers as well. */
function sketchWidth(maxBytes: number): number {
  return 2 ** Math.min(22, Math.max(14, Math.ceil(Math.log2((maxBytes / 1_024) * 4))));
}
