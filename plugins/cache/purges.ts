// Purges in force: applied to the memory tier when they come, and to whatever comes out of Redis afterwards, for as
// long as an entry from before the purge could still be there.
import type { Entry } from "./entry.ts";
import type { MemoryTier } from "./memory.ts";
import { concerns, isExact, type Purge } from "./purge.ts";

/** Clocks of sidecars and Redis differ; an entry this much younger than a purge still counts as older. */
const clockSkewMs = 1_000;
const maxUrls = 20_000;
const maxPatterns = 1_000;

interface Remembered {
  readonly purge: Purge;
  /** Entries asked for until then are concerned, epoch ms. */
  readonly until: number;
}

/** A fill under way; spoiled = purged meanwhile, its answer may be older than the purge. */
export interface Fill {
  readonly url: string;
  spoiled: boolean;
  /** Where it stands among the fills under way; for `Purges` alone. */
  place: number;
}

export class Purges {
  readonly #memory: MemoryTier;
  readonly #now: () => number;
  // By URL apart from the others: invalidations are many, and are found by key.
  readonly #urls = new Map<string, Remembered>();
  readonly #patterns = new Map<string, Remembered>();
  // Not a Set: one that gains and loses a member with every request is made anew all the time (V8 14).
  readonly #fills: Fill[] = [];
  #distrustUntil = 0;

  /** @param now epoch ms */
  constructor(memory: MemoryTier, now: () => number) {
    this.#memory = memory;
    this.#now = now;
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
    this.#remember({ purge, until: at + clockSkewMs });
    // Which tags an answer under way will have is not known yet.
    for (const fill of this.#fills) {
      if (purge.kind === "tag" || concerns(purge, { url: fill.url, tags: [] })) fill.spoiled = true;
    }
    const cells = isExact(purge) ? this.#memory.ofUrl(purge.value) : this.#memory.all();
    for (const cell of cells) {
      if (!concerns(purge, cell.entry)) continue;
      if (purge.soft) cell.entry.freshUntil = Math.min(cell.entry.freshUntil, this.#now());
      else this.#memory.remove(cell);
    }
  }

  /** Whether an entry out of Redis was purged since it was asked for. A soft purge marks it stale instead. */
  isPurged(entry: Entry): boolean {
    if (entry.requestedAt <= this.#distrustUntil) return true;
    const byUrl = this.#urls.get(entry.url);
    if (byUrl !== undefined && strikes(byUrl, entry)) return true;
    for (const remembered of this.#patterns.values()) {
      if (concerns(remembered.purge, entry) && strikes(remembered, entry)) return true;
    }
    return false;
  }

  /** Entries asked for until then are not believed: purges of that time may be unknown here. */
  distrust(untilMs: number): void {
    this.#distrustUntil = untilMs;
  }

  #remember(remembered: Remembered): void {
    const { purge } = remembered;
    const exact = isExact(purge);
    const kept = exact ? this.#urls : this.#patterns;
    const key = exact ? purge.value : `${purge.kind} ${purge.soft} ${purge.value}`;
    const before = kept.get(key);
    kept.delete(key);
    // A hard purge is not undone by a later soft one.
    const soft = purge.soft && before?.purge.soft !== false;
    kept.set(key, { purge: { ...purge, soft }, until: Math.max(remembered.until, before?.until ?? 0) });
    if (kept.size <= (exact ? maxUrls : maxPatterns)) return;
    const [[oldest, forgotten]] = kept as unknown as [[string, Remembered]];
    kept.delete(oldest);
    // What is forgotten must not come back: nothing as old as that purge is believed any more.
    this.#distrustUntil = Math.max(this.#distrustUntil, forgotten.until);
  }
}

function strikes({ purge, until }: Remembered, entry: Entry): boolean {
  if (entry.requestedAt > until) return false;
  if (purge.soft) entry.freshUntil = Math.min(entry.freshUntil, until);
  return !purge.soft;
}
