// The index of the memory tier: URL -> partition -> variants. One URL's answers stand together, so that an
// invalidation finds them all without a search.
import type { Fields } from "../../../src/plugin-api/contract.ts";
import type { Entry } from "./entry.ts";
import { type HashTableMember, IntrusiveHashTable } from "./intrusive-hash-table.ts";
import { selectingValue } from "../semantics/vary.ts";

// Classes, not literals: V8 14 puts what a literal makes into the old generation once it has seen a warm-up in which all
// of it lives on, and there it keeps the entries it once held until a full collection.

/** Place of one entry: the entry, its neighbours in the queue it stands in, and what eviction knows of it. */
export class CacheNode {
  readonly entry: Entry;
  readonly variantSet: VariantSet;
  readonly bytes: number;
  /** Of URL and partition, for the sketch. */
  readonly hash: number;
  /** Asked for since it was put in, or since eviction last passed by. */
  visited = false;
  older: CacheNode | undefined = undefined;
  newer: CacheNode | undefined = undefined;
  inWindow = true;

  constructor(entry: Entry, variantSet: VariantSet, bytes: number, hash: number) {
    this.entry = entry;
    this.variantSet = variantSet;
    this.bytes = bytes;
    this.hash = hash;
  }
}

const noNodes: CacheNode[] = [];

/** Variants of one URL and partition, newest first (RFC 9111 section 4.1: the most recent one that matches). */
export class VariantSet implements HashTableMember<VariantSet> {
  readonly url: string;
  readonly hash: number;
  readonly partition: string;
  /** Whether it is the first of its URL, which stands in the table. */
  readonly isFirst: boolean;
  variants: CacheNode[] = noNodes;
  next: VariantSet | undefined = undefined;
  /** Of a URL's first variant set: its other partitions. Nearly every URL has one; a map for each would be most of a small entry. */
  others: Map<string, VariantSet> | undefined = undefined;

  constructor(url: string, hash: number, partition: string, isFirst: boolean) {
    this.url = url;
    this.hash = hash;
    this.partition = partition;
    this.isFirst = isFirst;
  }
}

/** Most variants of one URL kept for one partition; a Vary on a field that always differs must not grow for ever. */
const maxVariants = 64;

/** In all of it, `hash` is the `hashText` of the URL. */
export class UrlIndex {
  /** The first variant set of each URL; it stays, perhaps empty, while there are others. */
  readonly #firsts = new IntrusiveHashTable<VariantSet>();

  variantSet(url: string, hash: number, partition: string): VariantSet | undefined {
    const first = this.#first(url, hash);
    const variantSet = first?.partition === partition ? first : first?.others?.get(partition);
    return variantSet === undefined || variantSet.variants.length === 0 ? undefined : variantSet;
  }

  /** All nodes of a URL, whosever they are. */
  nodesOf(url: string, hash: number): CacheNode[] {
    const first = this.#first(url, hash);
    if (first === undefined) return [];
    const others = first.others === undefined ? [] : [...first.others.values()];
    return [first, ...others].flatMap(({ variants }) => variants);
  }

  /** The variant set for such an entry, made if need be; something must be put into it. */
  open(url: string, hash: number, partition: string): VariantSet {
    const first = this.#first(url, hash);
    const known = first?.partition === partition ? first : first?.others?.get(partition);
    if (known !== undefined) return known;
    const variantSet = new VariantSet(url, hash, partition, first === undefined);
    if (first === undefined) this.#firsts.add(variantSet);
    else (first.others ??= new Map()).set(partition, variantSet);
    return variantSet;
  }

  take(node: CacheNode): void {
    const { variantSet } = node;
    const at = variantSet.variants.indexOf(node);
    if (at === -1) return;
    variantSet.variants.splice(at, 1);
    if (variantSet.variants.length > 0) return;
    const first = variantSet.isFirst ? variantSet : this.#first(variantSet.url, variantSet.hash);
    if (first === undefined) return;
    if (first !== variantSet) first.others?.delete(variantSet.partition);
    if (first.others?.size === 0) first.others = undefined;
    if (first.others === undefined && first.variants.length === 0) this.#firsts.remove(first);
  }

  #first(url: string, hash: number): VariantSet | undefined {
    let variantSet = this.#firsts.first(hash);
    while (variantSet !== undefined && (variantSet.hash !== hash || variantSet.url !== url))
      variantSet = variantSet.next;
    return variantSet;
  }
}

/** Puts a node before the older ones of its variant set. @returns nodes that have to make room: the same variant, or the oldest of too many */
export function putFirst(node: CacheNode): readonly CacheNode[] {
  const { variants } = node.variantSet;
  if (variants.length === 0) {
    // A list of one; an empty one would make room for seventeen.
    node.variantSet.variants = [node];
    return noNodes;
  }
  const displaced = variants.filter((other) => isSameVariant(other.entry, node.entry));
  variants.unshift(node);
  if (variants.length - displaced.length > maxVariants) displaced.push(variants.at(-1) as CacheNode);
  return displaced;
}

/** The newest variant whose selecting fields match the request's. */
export function selectVariant(variantSet: VariantSet, request: Fields): CacheNode | undefined {
  for (const node of variantSet.variants) if (matches(node.entry, request)) return node;
  return undefined;
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
