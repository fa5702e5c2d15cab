// The exchanges of a listener that are not over yet.

/** Something that remembers its place in the list. */
export interface Placed {
  /** Written by the list alone; -1 = in none. */
  place: number;
}

/**
 * An unordered list with removal in constant time. Not a `Set`: V8 makes it a new table every few dozen additions, and
 * an old table that has reached the old generation keeps the next ones alive, with all they held, until a full
 * collection. That doubled the memory under load and cost a fifth of the CPU.
 */
export class InFlight<T extends Placed> {
  readonly #items: T[] = [];

  get size(): number {
    return this.#items.length;
  }

  add(item: T): void {
    item.place = this.#items.length;
    this.#items.push(item);
  }

  /** Does nothing for one that is not in the list. */
  delete(item: T): void {
    const { place } = item;
    const last = this.#items.at(-1);
    if (last === undefined || this.#items[place] !== item) return;
    this.#items[place] = last;
    last.place = place;
    this.#items.pop();
    item.place = -1;
  }

  /** In no order; undefined beyond the last. */
  at(place: number): T | undefined {
    return this.#items[place];
  }

  /** Those in it now: later additions and deletions do not show. */
  all(): readonly T[] {
    return this.#items.slice();
  }
}
