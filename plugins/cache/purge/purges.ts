// Purges in force: applied to the memory tier when they come, and to whatever comes out of Redis afterwards, for as
// long as an entry from before the purge could still be there.
import type { Entry } from "../store/entry.ts";
import type { MemoryTier } from "../store/memory.ts";
import { upstreamOf } from "../key.ts";
import { Clearing } from "./clearing.ts";
import { PurgeBook } from "./purge-book.ts";
import { concerns, isExact, type Purge } from "./purge.ts";

/** Clocks of sidecars and Redis differ; an entry this much younger than a purge still counts as older. */
const clockSkewMs = 1_000;
/** Upstreams whose own purges are remembered apart, so that a flood of one's costs the others nothing. */
const maxBooks = 256;

/** A fill under way; invalidated = purged meanwhile, its answer may be older than the purge. */
export interface Fill {
  readonly url: string;
  invalidated: boolean;
  /** The stored response that may stand in for a failure: no longer once a hard purge has hit it. */
  standIn: Entry | undefined;
  /** Where it stands among the fills under way; for `Purges` alone. */
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
  // Not a Set: one that gains and loses a member with every request is made anew all the time (V8 14).
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

  /** Does nothing for one that has ended. */
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
   * @param at when it was made, epoch ms; only for what comes out of Redis
   */
  apply(purge: Purge, at: number): void {
    this.#bookFor(purge).remember(purge, at + clockSkewMs);
    // Which tags an answer under way will have is not known yet.
    for (const fill of this.#fills) {
      const tags = purge.kind === "tag" ? [purge.value] : [];
      if (concerns(purge, { url: fill.url, tags })) fill.invalidated = true;
      const { standIn } = fill;
      if (standIn !== undefined && !purge.soft && concerns(purge, standIn)) fill.standIn = undefined;
    }
    if (this.#memory.purge(purge, this.#now())) this.#clearing.begin();
    this.#applied();
  }

  /** Whether an entry out of Redis was purged since it was asked for. A soft purge marks it stale instead. */
  isPurged(entry: Entry): boolean {
    if (entry.requestedAt <= this.#distrustUntil || this.#everybodys.applies(entry)) return true;
    return this.#books.get(upstreamOf(entry.url))?.applies(entry) === true;
  }

  /** Entries asked for until then are not believed: purges of that time may be unknown here. */
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
