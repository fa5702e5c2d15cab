// The index of the memory tier: URL -> partition -> variants. One URL's answers stand together, so that an
// invalidation finds them all without a search.
import type { Fields } from "../../src/pipeline/contract.ts";
import type { Entry } from "./entry.ts";
import { selectingValue } from "./vary.ts";

/** Place of one entry: the entry, its neighbours in the queue it stands in, and what eviction knows of it. */
export interface Cell {
  readonly entry: Entry;
  readonly bytes: number;
  readonly hash: number;
  /** Asked for since it was put in, or since eviction last passed by. */
  visited: boolean;
  older: Cell | undefined;
  newer: Cell | undefined;
  inWindow: boolean;
}

/** Variants of one URL and partition, newest first (RFC 9111 section 4.1: the most recent one that matches). */
export interface Slot {
  readonly partition: string;
  readonly variants: Cell[];
}

/** Most variants of one URL kept for one partition; a Vary on a field that always differs must not grow for ever. */
const maxVariants = 64;

export class Shelf {
  // Nearly every URL has one partition: a map of its own for each would be most of a small entry's memory.
  readonly #urls = new Map<string, Slot | Map<string, Slot>>();

  slot(url: string, partition: string): Slot | undefined {
    const found = this.#urls.get(url);
    if (found === undefined) return undefined;
    if (found instanceof Map) return found.get(partition);
    return found.partition === partition ? found : undefined;
  }

  /** All cells of a URL, whosever they are. */
  cellsOf(url: string): Cell[] {
    const found = this.#urls.get(url);
    if (found === undefined) return [];
    return found instanceof Map
      ? [...found.values()].flatMap(({ variants }) => variants)
      : [...found.variants];
  }

  /** @returns cells that had to make room: the same variant, or the oldest of too many */
  put(cell: Cell): readonly Cell[] {
    const { url, partition } = cell.entry;
    const slot = this.slot(url, partition);
    if (slot === undefined) {
      this.#open(url, { partition, variants: [cell] });
      return [];
    }
    const displaced = slot.variants.filter((other) => isSameVariant(other.entry, cell.entry));
    slot.variants.unshift(cell);
    if (slot.variants.length - displaced.length > maxVariants) displaced.push(slot.variants.at(-1) as Cell);
    return displaced;
  }

  take(cell: Cell): void {
    const { url, partition } = cell.entry;
    const slot = this.slot(url, partition);
    const at = slot?.variants.indexOf(cell) ?? -1;
    if (slot === undefined || at === -1) return;
    slot.variants.splice(at, 1);
    if (slot.variants.length > 0) return;
    const found = this.#urls.get(url);
    if (found instanceof Map) found.delete(partition);
    if (!(found instanceof Map) || found.size === 0) this.#urls.delete(url);
  }

  #open(url: string, slot: Slot): void {
    const found = this.#urls.get(url);
    if (found === undefined) this.#urls.set(url, slot);
    else if (found instanceof Map) found.set(slot.partition, slot);
    else
      this.#urls.set(
        url,
        new Map([
          [found.partition, found],
          [slot.partition, slot],
        ]),
      );
  }
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
