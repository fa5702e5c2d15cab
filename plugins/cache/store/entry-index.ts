// Indexes the memory tier: URL and partition -> variants. An invalidation finds all answers of a URL, in every
// partition, without a search.
import type { Fields } from "../../../src/plugin-api/contract.ts";
import type { Entry } from "./entry.ts";
import { type HashTableMember, hashText, IntrusiveHashTable } from "./intrusive-hash-table.ts";
import { isEverybodys } from "../key.ts";
import type { StoredEntry } from "./stored-entry.ts";
import { selectingValue } from "../semantics/vary.ts";

/** Most variants of one URL and partition, so that a Vary on an ever-changing field does not grow without bound. */
const maxVariants = 64;

/** In all methods, `urlHash` is the `hashText` of the URL. */
export class EntryIndex {
  /** All variants of one URL and partition are in one chain, newest first. */
  readonly #entries = new IntrusiveHashTable<StoredEntry>();
  /** The other partitions of each URL. Everybody's partitions need no list: their entries have the URL's hash. */
  readonly #partitions = new IntrusiveHashTable<Partitions>();

  /** @returns the newest variant (RFC 9111 section 4.1 prefers the most recent match); `older` leads to the others */
  newest(url: string, partition: string, urlHash: number): StoredEntry | undefined {
    // Most URLs have only everybody's answers, so the caller's partition is hashed only where the URL has others.
    if (!isEverybodys(partition) && this.#partitionsOf(url, urlHash) === undefined) return undefined;
    const hash = placeHash(partition, urlHash);
    return firstOf(this.#entries.first(hash), hash, url, partition);
  }

  /** @returns the next older variant of the same URL and partition */
  older(entry: StoredEntry): StoredEntry | undefined {
    return firstOf(entry.next, entry.hash, entry.url, entry.partition);
  }

  /** Yields all entries of a URL in every partition; the receiver may remove each one as it comes. */
  *ofUrl(url: string, urlHash: number): Generator<StoredEntry> {
    yield* this.#everybodys(url, urlHash);
    for (const partition of this.#partitionsOf(url, urlHash)?.all() ?? [])
      yield* this.#variants(url, partition, urlHash);
  }

  /** @returns everybody's entries for the same URL that were stored under other policies than this entry */
  byOtherPolicies({ url, partition, hash }: StoredEntry): readonly StoredEntry[] {
    if (!isEverybodys(partition)) return none;
    return this.#everybodys(url, hash).filter((entry) => entry.partition !== partition);
  }

  /**
   * Puts an entry before the older ones.
   * @returns entries that the caller must remove: the same variant, and the oldest one if there are too many
   */
  add(entry: StoredEntry, urlHash: number): readonly StoredEntry[] {
    const { url, partition } = entry;
    const displaced = this.#displaced(entry, urlHash);
    entry.hash = placeHash(partition, urlHash);
    this.#entries.add(entry);
    if (!isEverybodys(partition)) {
      let partitions = this.#partitionsOf(url, urlHash);
      if (partitions === undefined) {
        partitions = new Partitions(url, urlHash);
        this.#partitions.add(partitions);
      }
      partitions.add(partition);
    }
    return displaced;
  }

  remove(entry: StoredEntry): void {
    this.#entries.remove(entry);
    const { url, partition } = entry;
    if (isEverybodys(partition)) return;
    const urlHash = hashText(url);
    if (this.newest(url, partition, urlHash) !== undefined) return;
    const partitions = this.#partitionsOf(url, urlHash);
    if (partitions?.delete(partition) === true) this.#partitions.remove(partitions);
  }

  #displaced(entry: StoredEntry, urlHash: number): readonly StoredEntry[] {
    let variant = this.newest(entry.url, entry.partition, urlHash);
    if (variant === undefined) return none;
    const displaced: StoredEntry[] = [];
    let left = 0;
    for (; variant !== undefined; variant = this.older(variant)) {
      if (isSameVariant(variant, entry)) displaced.push(variant);
      else if ((left += 1) === maxVariants) displaced.push(variant);
    }
    return displaced;
  }

  /** @returns everybody's entries of a URL, of every policy */
  #everybodys(url: string, urlHash: number): StoredEntry[] {
    const found: StoredEntry[] = [];
    let entry = this.#entries.first(urlHash);
    for (; entry !== undefined; entry = entry.next)
      if (entry.hash === urlHash && entry.url === url && isEverybodys(entry.partition)) found.push(entry);
    return found;
  }

  #variants(url: string, partition: string, urlHash: number): StoredEntry[] {
    const found: StoredEntry[] = [];
    let variant = this.newest(url, partition, urlHash);
    for (; variant !== undefined; variant = this.older(variant)) found.push(variant);
    return found;
  }

  #partitionsOf(url: string, urlHash: number): Partitions | undefined {
    let partitions = this.#partitions.first(urlHash);
    while (partitions !== undefined && (partitions.hash !== urlHash || partitions.url !== url))
      partitions = partitions.next;
    return partitions;
  }
}

/** The partitions of one URL. Most URLs have one, and a Set for each would take more memory than a small entry. */
class Partitions implements HashTableMember<Partitions> {
  readonly url: string;
  readonly hash: number;
  next: Partitions | undefined = undefined;
  #one: string | undefined = undefined;
  #others: Set<string> | undefined = undefined;

  constructor(url: string, hash: number) {
    this.url = url;
    this.hash = hash;
  }

  *all(): Generator<string> {
    if (this.#one !== undefined) yield this.#one;
    if (this.#others !== undefined) yield* this.#others;
  }

  add(partition: string): void {
    if (this.#one === partition || this.#others?.has(partition) === true) return;
    if (this.#one === undefined) this.#one = partition;
    else (this.#others ??= new Set()).add(partition);
  }

  /** @returns whether no partition is left */
  delete(partition: string): boolean {
    if (this.#one === partition) this.#one = undefined;
    else this.#others?.delete(partition);
    if (this.#others?.size === 0) this.#others = undefined;
    return this.#one === undefined && this.#others === undefined;
  }
}

const none: readonly StoredEntry[] = [];

function placeHash(partition: string, urlHash: number): number {
  return isEverybodys(partition) ? urlHash : hashText(partition, urlHash);
}

function firstOf(
  from: StoredEntry | undefined,
  hash: number,
  url: string,
  partition: string,
): StoredEntry | undefined {
  let entry = from;
  while (entry !== undefined && (entry.hash !== hash || entry.partition !== partition || entry.url !== url))
    entry = entry.next;
  return entry;
}

/** Whether the request's fields have the values by which the entry varies. */
export function matches({ vary, varyValues }: Entry, request: Fields): boolean {
  for (let i = 0; i < vary.length; i += 1) {
    if (selectingValue(vary[i] as string, request) !== varyValues[i]) return false;
  }
  return true;
}

function isSameVariant(a: Entry, b: Entry): boolean {
  return sameList(a.vary, b.vary) && sameList(a.varyValues, b.varyValues);
}

function sameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((value, index) => value === b[index]);
}
