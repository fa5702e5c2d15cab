// The index of the memory tier: URL -> partition -> variants. One URL's answers stand together, so that an
// invalidation finds them all without a search.
import type { Fields } from "../../../src/plugin-api/contract.ts";
import type { Entry } from "./entry.ts";
import { type Linked, LinkedTable } from "./linked-table.ts";
import { selectingValue } from "../semantics/vary.ts";

// Classes, not literals: V8 14 puts what a literal makes into the old generation once it has seen a warm-up in which all
// of it lives on, and there it keeps the entries it once held until a full collection.

/** Place of one entry: the entry, its neighbours in the queue it stands in, and what eviction knows of it. */
export class Cell {
  readonly entry: Entry;
  readonly slot: Slot;
  readonly bytes: number;
  /** Of URL and partition, for the sketch. */
  readonly hash: number;
  /** Asked for since it was put in, or since eviction last passed by. */
  visited = false;
  older: Cell | undefined = undefined;
  newer: Cell | undefined = undefined;
  inWindow = true;

  constructor(entry: Entry, slot: Slot, bytes: number, hash: number) {
    this.entry = entry;
    this.slot = slot;
    this.bytes = bytes;
    this.hash = hash;
  }
}

const noCells: Cell[] = [];

/** Variants of one URL and partition, newest first (RFC 9111 section 4.1: the most recent one that matches). */
export class Slot implements Linked<Slot> {
  readonly url: string;
  readonly hash: number;
  readonly partition: string;
  /** Whether it is the first of its URL, which stands in the table. */
  readonly isFirst: boolean;
  variants: Cell[] = noCells;
  next: Slot | undefined = undefined;
  /** Of a URL's first slot: its other partitions. Nearly every URL has one; a map for each would be most of a small entry. */
  others: Map<string, Slot> | undefined = undefined;

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
export class Shelf {
  /** The first slot of each URL; it stays, perhaps empty, while there are others. */
  readonly #firsts = new LinkedTable<Slot>();

  slot(url: string, hash: number, partition: string): Slot | undefined {
    const first = this.#first(url, hash);
    const slot = first?.partition === partition ? first : first?.others?.get(partition);
    return slot === undefined || slot.variants.length === 0 ? undefined : slot;
  }

  /** All cells of a URL, whosever they are. */
  cellsOf(url: string, hash: number): Cell[] {
    const first = this.#first(url, hash);
    if (first === undefined) return [];
    const others = first.others === undefined ? [] : [...first.others.values()];
    return [first, ...others].flatMap(({ variants }) => variants);
  }

  /** The slot for such an entry, made if need be; something must be put into it. */
  open(url: string, hash: number, partition: string): Slot {
    const first = this.#first(url, hash);
    const known = first?.partition === partition ? first : first?.others?.get(partition);
    if (known !== undefined) return known;
    const slot = new Slot(url, hash, partition, first === undefined);
    if (first === undefined) this.#firsts.add(slot);
    else (first.others ??= new Map()).set(partition, slot);
    return slot;
  }

  take(cell: Cell): void {
    const { slot } = cell;
    const at = slot.variants.indexOf(cell);
    if (at === -1) return;
    slot.variants.splice(at, 1);
    if (slot.variants.length > 0) return;
    const first = slot.isFirst ? slot : this.#first(slot.url, slot.hash);
    if (first === undefined) return;
    if (first !== slot) first.others?.delete(slot.partition);
    if (first.others?.size === 0) first.others = undefined;
    if (first.others === undefined && first.variants.length === 0) this.#firsts.remove(first);
  }

  #first(url: string, hash: number): Slot | undefined {
    let slot = this.#firsts.first(hash);
    while (slot !== undefined && (slot.hash !== hash || slot.url !== url)) slot = slot.next;
    return slot;
  }
}

/** Puts a cell before the older ones of its slot. @returns cells that have to make room: the same variant, or the oldest of too many */
export function putFirst(cell: Cell): readonly Cell[] {
  const { variants } = cell.slot;
  if (variants.length === 0) {
    // A list of one; an empty one would make room for seventeen.
    cell.slot.variants = [cell];
    return noCells;
  }
  const displaced = variants.filter((other) => isSameVariant(other.entry, cell.entry));
  variants.unshift(cell);
  if (variants.length - displaced.length > maxVariants) displaced.push(variants.at(-1) as Cell);
  return displaced;
}

/** The newest variant whose selecting fields match the request's. */
export function selectVariant(slot: Slot, request: Fields): Cell | undefined {
  for (const cell of slot.variants) if (matches(cell.entry, request)) return cell;
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
