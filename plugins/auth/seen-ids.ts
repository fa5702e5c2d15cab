// Remembers ids that must count only once, each until its end, in bounded memory. It forgets none before its end.

/** About 60 MB when full. */
const maxRemembered = 524_288;
/** The least time between two searches of a full memory for ended ids. */
const sweepMs = 1_000;
const shelfLetters = 2;

/** `full` = there is no room to remember the id, so a repeat could not be recognised. */
export type Seen = "first" | "again" | "full";

type Shelf = Map<string, number>;

export class SeenIds {
  readonly #mono: () => number;
  readonly #most: number;
  readonly #mostOnOne: number;
  /**
   * Shelves by the first two characters of an id, which stand for its owner, so that no single owner fills the memory
   * of all. A shelf holds, in order of arrival, until when each id is remembered (monotonic ms).
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

  /** Drops ended ids from the front of a shelf. */
  #dropEnded(shelf: Shelf, now: number): void {
    for (const [id, until] of shelf) {
      if (now < until) break;
      shelf.delete(id);
      this.#size -= 1;
    }
  }

  /** Drops ended ids from one other shelf each time, as nobody may come back to it. */
  #dropElsewhere(now: number): void {
    const { value, done } = this.#turn.next();
    if (done === true) this.#turn = this.#shelves.values();
    else this.#dropEnded(value, now);
  }

  /** Drops all ended ids. Only when there is no room left: with different lifetimes some are not at the front. */
  #sweep(now: number): void {
    if (now - this.#sweptMono < sweepMs) return;
    this.#sweptMono = now;
    for (const shelf of this.#shelves.values())
      for (const [id, until] of shelf) if (now >= until && shelf.delete(id)) this.#size -= 1;
  }
}
