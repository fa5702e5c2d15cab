// Applies purges to the memory tier and to fills under way when they arrive, and to entries read from Redis afterwards,
// for as long as an entry from before the purge could still be in Redis.
import type { Entry } from "../store/entry.ts";
import type { MemoryTier } from "../store/memory.ts";
import { upstreamOf } from "../key.ts";
import { Clearing } from "./clearing.ts";
import { PurgeBook } from "./purge-book.ts";
import { concerns, isExact, type Purge } from "./purge.ts";

/** Clocks of sidecars and Redis differ: an entry that is up to this much younger than a purge still counts as older. */
const clockSkewMs = 1_000;
/** Most upstreams with a purge book of their own, so that a flood of purges from one does not affect the others. */
const maxBooks = 256;

/** A fill under way. `invalidated`: a purge came meanwhile, so the answer may be older than the purge. */
export interface Fill {
  readonly url: string;
  invalidated: boolean;
  /** The stored response that may stand in for a failure; undefined once a hard purge has hit it. */
  standIn: Entry | undefined;
  /** Index in the list of fills, -1 = not in it; only `Purges` uses it. */
  place: number;
}

export class Purges {
  readonly #memory: MemoryTier;
  readonly #now: () => number;
  readonly #applied: () => void;
  readonly #clearing: Clearing;
  readonly #everybodys = new PurgeBook();
  readonly #books = new Map<string, PurgeBook>();
  #distrustUntil = 0;
  // Not a Set: V8 14 rebuilds a Set again and again when each request adds and removes a member.
  readonly #fills: Fill[] = [];

  /** @param now epoch ms. @param applied called when the memory tier may have become smaller */
  constructor(memory: MemoryTier, now: () => number, applied: () => void = () => {}) {
    this.#memory = memory;
    this.#now = now;
    this.#applied = applied;
    this.#clearing = new Clearing(memory, applied);
  }

  /** How many fills are under way. */
  get fills(): number {
    return this.#fills.length;
  }

  beginFill(fill: Fill): void {
    fill.place = this.#fills.push(fill) - 1;
  }

  /** Does nothing for a fill that has ended. */
  endFill(fill: Fill): void {
    if (fill.place === -1) return;
    const last = this.#fills.pop() as Fill;
    if (last !== fill) {
      this.#fills[fill.place] = last;
      last.place = fill.place;
    }
    fill.place = -1;
  }

  /**
   * Applies a purge that becomes known now.
   * @param at when it was made, epoch ms; used only to judge entries from Redis
   */
  apply(purge: Purge, at: number): void {
    this.#bookFor(purge).remember(purge, at + clockSkewMs);
    // The tags of an answer under way are not known yet, so a purge by tag invalidates every fill that may have it.
    for (const fill of this.#fills) {
      const tags = purge.kind === "tag" ? [purge.value] : [];
      if (concerns(purge, { url: fill.url, tags })) fill.invalidated = true;
      const { standIn } = fill;
      if (standIn !== undefined && !purge.soft && concerns(purge, standIn)) fill.standIn = undefined;
    }
    if (this.#memory.purge(purge, this.#now())) this.#clearing.begin();
    this.#applied();
  }

  /** Whether an entry from Redis was purged after it was requested. A soft purge marks it stale instead. */
  isPurged(entry: Entry): boolean {
    if (entry.requestedAt <= this.#distrustUntil || this.#everybodys.applies(entry)) return true;
    return this.#books.get(upstreamOf(entry.url))?.applies(entry) === true;
  }

  /** Entries requested up to that time (epoch ms) count as purged: purges of that time may be unknown here. */
  distrustBefore(untilMs: number): void {
    this.#distrustUntil = untilMs;
  }

  #bookFor(purge: Purge): PurgeBook {
    const upstream = isExact(purge) ? upstreamOf(purge.value) : purge.upstream;
    if (upstream === undefined) return this.#everybodys;
    let book = this.#books.get(upstream);
    if (book !== undefined) return book;
    book = new PurgeBook();
    this.#books.set(upstream, book);
    if (this.#books.size > maxBooks) {
      const [[oldest, forgotten]] = this.#books as unknown as [[string, PurgeBook]];
      this.#books.delete(oldest);
      this.#everybodys.forget(forgotten.latest);
    }
    return book;
  }
}
