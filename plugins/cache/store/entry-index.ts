// The index of the memory tier: URL and partition -> variants. An invalidation finds all answers of a URL, whosever they
// are, without a search.
import type { Fields } from "../../../src/plugin-api/contract.ts";
import type { Entry } from "./entry.ts";
import { type HashTableMember, hashText, IntrusiveHashTable } from "./intrusive-hash-table.ts";
import { isEverybodys } from "../key.ts";
import type { StoredEntry } from "./stored-entry.ts";
import { selectingValue } from "../semantics/vary.ts";

/** Most variants of one URL kept for one partition; a Vary on a field that always differs must not grow for ever. */
const maxVariants = 64;

/** In all of it, `urlHash` is the `hashText` of the URL. */
export class EntryIndex {
  /** Variants of one URL and partition stand in one chain, newest first. */
  readonly #entries = new IntrusiveHashTable<StoredEntry>();
  /** URLs that have answers in other partitions than everybody's, which stand under the hash of the URL alone. */
  readonly #partitions = new IntrusiveHashTable<Partitions>();

  /** The newest variant (RFC 9111 section 4.1: the most recent one that matches); `older` leads to the others. */
  newest(url: string, partition: string, urlHash: number): StoredEntry | undefined {
    // Most URLs have answers for everybody alone: no caller's partition is hashed for nothing.
    if (!isEverybodys(partition) && this.#partitionsOf(url, urlHash) === undefined) return undefined;
    const hash = placeHash(partition, urlHash);
    return firstOf(this.#entries.first(hash), hash, url, partition);
  }

  /** The next older variant of the same URL and partition. */
  older(entry: StoredEntry): StoredEntry | undefined {
    return firstOf(entry.next, entry.hash, entry.url, entry.partition);
  }

  /** All entries of a URL, whosever they are; the receiver may remove each as it comes. */
  *ofUrl(url: string, urlHash: number): Generator<StoredEntry> {
    yield* this.#everybodys(url, urlHash);
    for (const partition of this.#partitionsOf(url, urlHash)?.all() ?? [])
      yield* this.#variants(url, partition, urlHash);
  }

  /** Answers for everybody by other policies than that of an entry, to the same URL. */
  byOtherPolicies({ url, partition, hash }: StoredEntry): readonly StoredEntry[] {
    if (!isEverybodys(partition)) return none;
    return this.#everybodys(url, hash).filter((entry) => entry.partition !== partition);
  }

  /** Puts an entry before the older ones. @returns entries that have to make room: the same variant, or the oldest of too many */
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

  /** By every policy. */
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

/** The partitions of one URL. Most have one; a set for each would be most of a small entry. */
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

  /** @returns whether none is left */
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

/** Whether the request has the values that the entry was selected by. */
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
