// A set whose items know their index in it: exchanges in flight, bodies whose pace is watched.

/** An item of one set at most, which knows where it is in it. */
export interface IntrusiveItem {
  /** Written by the set alone; -1 = in none. */
  setIndex: number;
}

/**
 * Unordered, with removal in constant time. Not a `Set`: V8 makes it a new table every few dozen additions, and
 * an old table that has reached the old generation keeps the next ones alive, with all they held, until a full
 * collection. That doubled the memory under load and cost a fifth of the CPU.
 */
export class IntrusiveSet<T extends IntrusiveItem> {
  readonly #items: T[] = [];

  get size(): number {
    return this.#items.length;
  }

  add(item: T): void {
    item.setIndex = this.#items.length;
    this.#items.push(item);
  }

  /** Does nothing for one that is not in the set. */
  delete(item: T): void {
    const { setIndex } = item;
    const last = this.#items.at(-1);
    if (last === undefined || this.#items[setIndex] !== item) return;
    this.#items[setIndex] = last;
    last.setIndex = setIndex;
    this.#items.pop();
    item.setIndex = -1;
  }

  /** In no order; undefined beyond the last. */
  at(index: number): T | undefined {
    return this.#items[index];
  }

  /** Those in it now: later additions and deletions do not show. */
  all(): readonly T[] {
    return this.#items.slice();
  }
}
