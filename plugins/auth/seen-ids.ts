// What was used once and must not count again, each until its end, in bounded memory: nothing is forgotten before that.

/** About 60 MB when full. */
const maxRemembered = 524_288;
/** How often a full memory is gone through for what is over, at most. */
const sweepMs = 1_000;
const shelfLetters = 2;

/** `full` = it cannot be remembered, so that nobody could tell the next time. */
export type Seen = "first" | "again" | "full";

type Shelf = Map<string, number>;

export class SeenIds {
  readonly #mono: () => number;
  readonly #most: number;
  readonly #mostOnOne: number;
  /**
   * By their first two letters, which stand for whose they are: no single one fills the memory of all. Each holds monotonic
   * milliseconds until which an id is remembered, in the order they came.
   */
  readonly #shelves = new Map<string, Shelf>();
  #size = 0;
  #turn = this.#shelves.values();
  #sweptMono = -Infinity;

  constructor(mono: () => number, most = maxRemembered, mostOnOne = Math.ceil(most / 2)) {
    this.#mono = mono;
    this.#most = most;
    this.#mostOnOne = mostOnOne;
  }

  get size(): number {
    return this.#size;
  }

  see(id: string, rememberMs: number): Seen {
    const now = this.#mono();
    const shelf = this.#shelfOf(id);
    const until = shelf.get(id);
    if (until !== undefined && now < until) return "again";
    this.#dropEnded(shelf, now);
    this.#dropElsewhere(now);
    if (this.#isFull(shelf)) this.#sweep(now);
    if (this.#isFull(shelf)) return "full";
    if (!shelf.delete(id)) this.#size += 1;
    shelf.set(id, now + rememberMs);
    return "first";
  }

  forget(id: string): void {
    if (this.#shelfOf(id).delete(id)) this.#size -= 1;
  }

  #isFull(shelf: Shelf): boolean {
    return this.#size >= this.#most || shelf.size >= this.#mostOnOne;
  }

  #shelfOf(id: string): Shelf {
    const name = id.slice(0, shelfLetters);
    let shelf = this.#shelves.get(name);
    if (shelf === undefined) {
      shelf = new Map();
      this.#shelves.set(name, shelf);
    }
    return shelf;
  }

  /** Those in front as they end. */
  #dropEnded(shelf: Shelf, now: number): void {
    for (const [id, until] of shelf) {
      if (now < until) break;
      shelf.delete(id);
      this.#size -= 1;
    }
  }

  /** One shelf each time: nobody may come back to it. */
  #dropElsewhere(now: number): void {
    const { value, done } = this.#turn.next();
    if (done === true) this.#turn = this.#shelves.values();
    else this.#dropEnded(value, now);
  }

  /** All that ended, only when there is no more room, as lifetimes may differ. */
  #sweep(now: number): void {
    if (now - this.#sweptMono < sweepMs) return;
    this.#sweptMono = now;
    for (const shelf of this.#shelves.values())
      for (const [id, until] of shelf) if (now >= until && shelf.delete(id)) this.#size -= 1;
  }
}
